//! The form of an operation's errors: which of the known ones its schemas of 400 and 422 are.

use super::Stated;
use super::fields::OperationFields;
use crate::authoring::yaml::Node;
use crate::route::ErrorForm;

/// The codes of a 422 where they are closed.
const CLOSED: [&str; 2] = ["ERRO_IDEMPOTENCIA", "NAO_INFORMADO"];
const DATE: &str = "requestDateTime";
const MISSPELT: &str = "resquetDateTime";

/// What one schema says.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    is_object: bool,
    is_closed: bool,
    has_dated_meta: bool,
    is_misspelt: bool,
}

impl<'a> OperationFields<'a> {
    /// The form of the errors. An operation that declares none has the common one.
    pub(super) fn errors(&self) -> Stated<ErrorForm> {
        let of_400 = self.shape_of("400")?;
        let Some(of_422) = self.shape_of("422")? else {
            return Ok(ErrorForm::Common);
        };
        if of_400.is_some_and(|of_400| of_400.has_dated_meta != of_422.has_dated_meta) {
            return Err("its statuses have different schemas".to_owned());
        }
        let form = match (of_422.is_object, of_422.is_closed, of_422.has_dated_meta) {
            (false, false, false) => ErrorForm::Common,
            (false, true, false) if of_422.is_misspelt => ErrorForm::Misspelt,
            (false, true, false) => ErrorForm::Closed,
            (true, true, false) => ErrorForm::Object,
            (true, true, true) => ErrorForm::DatedMeta,
            _ => return Err("the schema of its errors is unusual".to_owned()),
        };
        let is_known = !of_422.is_misspelt || form == ErrorForm::Misspelt;
        if is_known { Ok(form) } else { Err("the schema of its errors is unusual".to_owned()) }
    }

    /// The shape of a status, the same in all its media types; none if it is not declared.
    fn shape_of(&self, status: &str) -> Stated<Option<Shape>> {
        let Some(response) = self.operation.get("responses").and_then(|all| all.get(status)) else {
            return Ok(None);
        };
        let response = self.references.resolve(response).ok_or("a $ref leads nowhere")?;
        let mut shape = None;
        for (_, _, media) in response.get("content").iter().flat_map(|content| content.entries()) {
            let of_media = self.shape(media).ok_or("the schema of its errors is unusual")?;
            if *shape.get_or_insert(of_media) != of_media {
                return Err("its media types have different schemas".to_owned());
            }
        }
        Ok(shape)
    }

    fn shape(&self, media: &'a Node) -> Option<Shape> {
        let schema = self.references.resolve(media.get("schema")?)?;
        let properties = schema.get("properties")?;
        let errors = self.references.resolve(properties.get("errors")?)?;
        let (is_object, item) = match errors.text_of("type")? {
            "array" => (false, self.references.resolve(errors.get("items")?)?),
            "object" => (true, errors),
            _ => return None,
        };
        let meta = properties.get("meta").and_then(|meta| self.references.resolve(meta));
        Some(Shape {
            is_object,
            // One operation has its codes beside the items instead of in them.
            is_closed: self.is_closed(item)? || self.is_closed(errors)?,
            has_dated_meta: meta.is_some_and(|meta| requires(meta, DATE)),
            is_misspelt: requires(item, MISSPELT),
        })
    }

    /// Whether the code is one of the two. Other lists are unusual.
    fn is_closed(&self, item: &'a Node) -> Option<bool> {
        let Some(code) = item.get("properties").and_then(|properties| properties.get("code"))
        else {
            return Some(false);
        };
        let codes = self.references.resolve(code)?.get("enum").map(Node::items).unwrap_or_default();
        let is_known = CLOSED.iter().all(|known| codes.iter().any(|c| c.text() == Some(known)));
        match codes.len() {
            0 => Some(false),
            2 if is_known => Some(true),
            _ => None,
        }
    }
}

fn requires(schema: &Node, member: &str) -> bool {
    let required = schema.get("required").map(Node::items).unwrap_or_default();
    required.iter().any(|name| name.text() == Some(member))
}
