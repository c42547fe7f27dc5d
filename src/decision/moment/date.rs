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
    // By thread: to share a text takes a lock, or a count, for each answer.
    static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Tells the present. Nothing, if the clock stands before 1970.
pub fn tell(told: impl FnOnce(&str)) {
    // RFC 9110 section 6.6.1: without a clock an origin server must not send the field.
    let Ok(since) = SystemTime::now().duration_since(UNIX_EPOCH) else { return };
    LAST.with_borrow_mut(|(second, text)| {
        // Unequal and not later: a clock that is set back must show, too.
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
    // Beyond the year 9999 there is no such text: the field is left out.
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
