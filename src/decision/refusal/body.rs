//! The body of a refusal, in the form that the route's specification publishes.

use http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::text::{self, Text};
use crate::moment::Moment;
use crate::route::ErrorForm;

/// What a 422 says where its codes are closed and none of them fits.
const NOT_TOLD: &str = "NAO_INFORMADO";

/// `application/json; charset=utf-8`.
///
/// `subject` is what the refusal is about, in words of the configuration.
pub(super) fn write(
    status: StatusCode,
    text: Text,
    subject: Option<&str>,
    form: ErrorForm,
    now: Moment,
) -> Vec<u8> {
    let is_422 = status == StatusCode::UNPROCESSABLE_ENTITY;
    let at = date_time(now);
    let detail = subject.map(|subject| format!("{} ({subject})", text.detail));
    let in_meta = form == ErrorForm::DatedMeta;
    let is_misspelt = is_422 && form == ErrorForm::Misspelt;
    // The specifications list two codes for these 422, and no other is valid by their schema
    // (gateway rules, section 4).
    let closes = is_422 && form.is_closed() && text.code != text::IDEMPOTENCY.code;
    let item = Item {
        code: if closes { NOT_TOLD } else { text.code },
        title: text.title,
        detail: detail.as_deref().unwrap_or(text.detail),
        request_date_time: (!in_meta).then_some(&at),
        resquet_date_time: is_misspelt.then_some(&at),
    };
    let errors = if is_422 && form.is_object() { Errors::One(item) } else { Errors::Array([item]) };
    // Optional, and asked for by nearly every variant of the schema (gateway rules, section 4).
    let meta = Meta { total_records: 1, total_pages: 1, request_date_time: in_meta.then_some(&at) };
    // Texts and numbers: there is nothing in it that JSON could not say.
    serde_json::to_vec(&ErrorBody { errors, meta }).unwrap_or_default()
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    errors: Errors<'a>,
    meta: Meta<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Errors<'a> {
    Array([Item<'a>; 1]),
    One(Item<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    code: &'static str,
    title: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_date_time: Option<&'a str>,
    // Spelt as the specification requires it.
    #[serde(skip_serializing_if = "Option::is_none")]
    resquet_date_time: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    total_records: u32,
    total_pages: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_date_time: Option<&'a str>,
}

/// `YYYY-MM-DDThh:mm:ssZ`, the 20 characters of the specifications.
fn date_time(now: Moment) -> String {
    // Without fractions: the schema has 20 characters, no more (gateway rules, section 4).
    let seconds = i64::try_from(now.unix_seconds()).unwrap_or(0);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::{Value, json};

    use super::*;

    fn body(status: u16, text: Text, form: ErrorForm) -> Value {
        let now = Moment::at(Duration::ZERO, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let status = StatusCode::from_u16(status).unwrap();
        serde_json::from_slice(&write(status, text, None, form, now)).unwrap()
    }

    #[test]
    fn the_common_body_has_all_four_item_fields_and_meta() {
        let body = body(403, text::SCOPE, ErrorForm::Common);
        assert_eq!(body["errors"][0]["requestDateTime"], "2023-11-14T22:13:20Z");
        assert_eq!(body["errors"][0].as_object().unwrap().len(), 4);
        assert_eq!(body["meta"], json!({"totalRecords": 1, "totalPages": 1}));
    }

    #[test]
    fn a_form_changes_what_its_specification_changes() {
        let closed = body(422, text::PARAMETER, ErrorForm::Closed);
        assert_eq!(closed["errors"][0]["code"], NOT_TOLD);
        let open = body(400, text::PARAMETER, ErrorForm::Closed);
        assert_eq!(open["errors"][0]["code"], "PARAMETRO_INVALIDO");
        let object = body(422, text::IDEMPOTENCY, ErrorForm::Object);
        assert_eq!(object["errors"]["code"], "ERRO_IDEMPOTENCIA");
        assert!(body(400, text::PARAMETER, ErrorForm::Object)["errors"].is_array());
        let misspelt = body(422, text::IDEMPOTENCY, ErrorForm::Misspelt);
        assert_eq!(misspelt["errors"][0].as_object().unwrap().len(), 5);
        for status in [400, 422] {
            let dated = body(status, text::IDEMPOTENCY, ErrorForm::DatedMeta);
            assert_eq!(dated["meta"].as_object().unwrap().len(), 3);
            assert!(!dated["errors"].to_string().contains("DateTime"), "{dated}");
        }
    }
}
