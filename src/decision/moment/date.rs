//! The present as the Date field says it (RFC 9110 section 5.6.7): written once a second and thread.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const FORM: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

thread_local! {
    static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Tells the present. Nothing, if the clock stands before 1970.
pub fn tell(told: impl FnOnce(&str)) {
    let Ok(since) = SystemTime::now().duration_since(UNIX_EPOCH) else { return };
    LAST.with_borrow_mut(|(second, text)| {
        if *second != since.as_secs() {
            *text = written(since.as_secs());
            *second = since.as_secs();
        }
        if !text.is_empty() {
            told(text);
        }
    });
}

fn written(second: u64) -> String {
    let time = i64::try_from(second).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    time.and_then(|time| time.format(FORM).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_the_one_form() {
        assert_eq!(written(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        let mut said = None;
        tell(|text| said = Some(text.len()));
        assert_eq!(said, Some(29));
    }
}
