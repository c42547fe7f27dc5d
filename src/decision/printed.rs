//! What is printed: text of others, which a terminal must not obey.
//!
//! A certificate, a log or a policy may contain characters that move the cursor, colour what follows, or turn the
//! direction in which a line is read. They are printed as what they are called.

use std::borrow::Cow;

/// Whether a terminal would do something else than show it: controls, what changes the direction of text,
/// separators of lines, and what has no width.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text for one line: a line of its own would be taken for ours.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed, |c| c.escape_default().to_string())
}

/// Everything that is printed. Escaped so that JSON stays what it was.
pub fn all(text: &str) -> Cow<'_, str> {
    let json = |c: char| {
        let mut units = [0; 2];
        // JSON escapes code units: a character beyond U+FFFF takes two (RFC 8259 section 7).
        c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
    };
    escaped(text, |c| c != '\n' && c != '\t' && is_obeyed(c), json)
}

fn escaped(
    text: &str,
    is_bad: impl Fn(char) -> bool,
    name: impl Fn(char) -> String,
) -> Cow<'_, str> {
    if !text.chars().any(&is_bad) {
        return Cow::Borrowed(text);
    }
    let show = |c: char| if is_bad(c) { name(c) } else { c.to_string() };
    Cow::Owned(text.chars().map(show).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_named() {
        assert_eq!(line("Seguradora São João, S.A."), "Seguradora São João, S.A.");
        assert_eq!(line("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(
            line("\u{202e}txt\u{9b}\u{2066}\u{200f}\u{feff}"),
            "\\u{202e}txt\\u{9b}\\u{2066}\\u{200f}\\u{feff}"
        );
        assert_eq!(all("a\n\tb"), "a\n\tb");
        let json = format!("[\"{}\"]", all("\u{202e}\u{85}\u{e0041}"));
        let read: Vec<String> = serde_json::from_str(&json).unwrap();
        assert_eq!(read, ["\u{202e}\u{85}\u{e0041}"]);
        assert!(json.is_ascii());
    }
}
