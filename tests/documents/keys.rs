//! The keys that users read of: config.toml shows each of them with its default and what it is for, and
//! docs/configuration.md has the tables of all. Both come from the table of keys; `PORTARIA_WRITE=1` writes them again.

use std::collections::BTreeSet;

use portaria::config::keys::{Absent, Acts, Key, KeysOf, Kind, of};

use super::{is_word, read, write_or_compare};

/// The paths of the keys that a configuration shows, written out or commented out.
fn shown_keys(text: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut shown, mut named) = (BTreeSet::new(), BTreeSet::new());
    let mut table = String::new();
    let join = |table: &str, key: &str| match table {
        "" => key.to_owned(),
        table => format!("{table}.{key}"),
    };
    for line in text.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        let header = line.split('#').next().unwrap_or_default().trim();
        let of_array = header.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]"));
        let of_table = header.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(name) = of_array {
            shown.insert(name.to_owned());
            table = format!("{name}[]");
        } else if let Some(name) =
            of_table.filter(|name| name.chars().all(|c| is_word(c) || c == '.'))
        {
            // A table within one of an array is written as if there were one.
            let inner =
                name.strip_prefix("token.issuers.").map(|inner| format!("token.issuers[].{inner}"));
            let inner = inner
                .or(name.strip_prefix("listeners.").map(|inner| format!("listeners[].{inner}")));
            table = inner.unwrap_or_else(|| name.to_owned());
            shown.insert(table.clone());
        } else if let Some((key, value)) =
            line.split_once(" = ").filter(|(key, _)| key.chars().all(is_word))
        {
            let path = join(&table, key);
            shown.insert(path.clone());
            let inner = if value.starts_with("[{") { format!("{path}[]") } else { path };
            let braces = value.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
            // What goes with it or instead of it may be named behind it.
            let behind = value.split_once(" # ").map_or("", |(_, words)| words);
            let words =
                behind.split(", ").filter_map(|word| word.split_once(" = ")?.0.rsplit(' ').next());
            named.extend(words.map(|word| join(&inner, word)));
            for part in
                braces.map(|(inside, _)| inside).into_iter().flat_map(|inside| inside.split(','))
            {
                if let Some((key, _)) = part.split_once(" = ") {
                    shown.insert(join(&inner, key.trim()));
                }
            }
        }
    }
    (shown, named)
}

/// A key that the file does not show is one that nobody finds; one that it shows and nobody reads has no effect.
#[test]
fn the_configuration_shows_every_key_and_no_other() {
    let (shown, named) = shown_keys(&read("config.toml"));
    let known: BTreeSet<String> =
        of(KeysOf::Configuration).iter().map(|key| key.path.clone()).collect();
    let hidden: Vec<&String> =
        known.difference(&shown).filter(|key| !named.contains(*key)).collect();
    let tables: Vec<String> =
        known.iter().filter_map(|key| Some(key.rsplit_once('.')?.0.replace("[]", ""))).collect();
    let unknown: Vec<&String> = shown
        .difference(&known)
        .filter(|shown| !tables.contains(&shown.replace("[]", "")))
        .collect();
    assert_eq!((hidden, unknown), (Vec::new(), Vec::new()));
}

/// `"10s"` for a text, `64` for a number.
fn as_toml(kind: &Kind, text: &str) -> String {
    match kind {
        Kind::Table | Kind::Tables | Kind::Number(..) | Kind::Flag => text.to_owned(),
        Kind::Texts | Kind::SomeOf(_) => text.to_owned(),
        Kind::Text | Kind::Form(_) | Kind::OneOf(_) => format!("{text:?}"),
        Kind::Duration(_) | Kind::WordOrDuration(..) | Kind::Size(_) => format!("{text:?}"),
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// What stands behind a key in config.toml, which holds `value` there.
fn comment(key: &Key, value: &str) -> String {
    let mut parts = vec![key.says.to_owned()];
    match &key.kind {
        Kind::OneOf(names) | Kind::SomeOf(names) => {
            let shown = |name: &&&str| !value.contains(&format!("{name:?}"));
            let others: Vec<&str> = names.iter().filter(shown).copied().collect();
            // What the sentence itself or the words before the table say is not said again.
            let is_said = key.path.starts_with("identity.rules.") || key.says.contains("or \"");
            if !others.is_empty() && !is_said {
                let or = if matches!(key.kind, Kind::OneOf(_)) { "or" } else { "also" };
                parts.push(format!("{or} {}", quoted(&others)));
            }
        }
        Kind::WordOrDuration(word, span) => match value.contains(word) {
            true => parts.push(format!("or {}", span.told("duration", "a duration"))),
            false => parts.push(format!("or {word:?}")),
        },
        Kind::Duration(span) => parts.extend(span.bounds()),
        Kind::Size(span) => parts.extend(span.bounds()),
        _ => {}
    }
    match key.absent {
        Absent::Means(text) => parts.push(format!("without: {text}")),
        Absent::Mistake | Absent::Is(_) | Absent::IsOfPreset(_) | Absent::Nothing => {}
    }
    if key.acts == Acts::Restart && key.path.contains("[]") {
        parts.push("restart".to_owned());
    }
    parts.join("; ")
}

/// Where comments begin.
const COLUMN: usize = 40;
const WIDTH: usize = 116;

/// A line of a key with its comment, which goes on below where it is long.
fn lines(shown: &str, comment: &str) -> String {
    let column = COLUMN.max(shown.chars().count() + 2);
    let below = format!("\n#{:<1$}#", "", COLUMN - 1);
    let (mut text, mut at) = match column > 90 {
        true => (format!("{shown}{below}"), COLUMN + 1),
        false => (format!("{shown:<column$}#"), column + 1),
    };
    for word in comment.split(' ') {
        if at + 1 + word.chars().count() > WIDTH {
            text.push_str(&below);
            at = COLUMN + 1;
        }
        text.push_str(&format!(" {word}"));
        at += 1 + word.chars().count();
    }
    text
}

/// config.toml with the defaults and comments of the table of keys.
fn rewritten(text: &str) -> String {
    let mut written: Vec<String> = Vec::new();
    let (mut table, mut seen, mut is_continued) = (String::new(), BTreeSet::new(), false);
    for line in text.lines() {
        let plain = line.strip_prefix("# ").unwrap_or(line);
        let header = plain.split('#').next().unwrap_or_default().trim();
        if is_continued
            && line.starts_with("#   ")
            && !line.trim_start_matches(['#', ' ']).is_empty()
        {
            continue;
        }
        is_continued = false;
        if let Some(name) = header_of(header) {
            table = name;
        }
        let key = plain.split_once(" = ").filter(|(key, _)| key.chars().all(is_word));
        let Some((name, rest)) = key.filter(|_| header_of(header).is_none()) else {
            written.push(line.to_owned());
            continue;
        };
        let path = if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") };
        let row = of(KeysOf::Configuration).iter().find(|row| row.path == path);
        let row = row.unwrap();
        is_continued = seen.insert(path);
        if !is_continued {
            written.push(line.to_owned());
            continue;
        }
        let shown = rest.split("  #").next().unwrap_or_default().trim_end();
        let value = match row.absent {
            Absent::Is(text) | Absent::IsOfPreset(text) if line.starts_with("# ") => {
                as_toml(&row.kind, text)
            }
            _ => shown.to_owned(),
        };
        let mark = if line.starts_with("# ") { "# " } else { "" };
        written.push(lines(&format!("{mark}{name} = {value}"), &comment(row, &value)));
    }
    written.join("\n") + "\n"
}

/// `[listeners.revocation]` as `listeners[].revocation`, as there may be several.
fn header_of(text: &str) -> Option<String> {
    let of_array = text.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]"));
    if let Some(name) = of_array {
        return Some(format!("{name}[]"));
    }
    let name = text.strip_prefix('[')?.strip_suffix(']')?;
    if !name.chars().all(|c| is_word(c) || c == '.') {
        return None;
    }
    let arrays = [("token.issuers.", "token.issuers[]."), ("listeners.", "listeners[].")];
    let inner = arrays
        .iter()
        .find_map(|(plain, array)| name.strip_prefix(plain).map(|inner| format!("{array}{inner}")));
    Some(inner.unwrap_or_else(|| name.to_owned()))
}

#[test]
fn the_configuration_says_of_each_key_what_the_table_of_keys_does() {
    let text = read("config.toml");
    write_or_compare("config.toml", &rewritten(&text));
}

const HEAD: &str = "\
<!-- Written from the table of keys (src/config/keys) by a test of tests/documents -->
# Every key

Of config.toml and of policy files. What a file has wrong is said all at once, with file, line, key and what is accepted
(`portaria check`); an unknown key is a mistake. Editors have the same as JSON Schema (`portaria schema config`, `portaria
schema policy`).

Durations are \"250ms\", \"10s\", \"5m\", \"1h\", \"1d\"; sizes \"512B\", \"64KiB\", \"1MiB\". A text may contain `${VAR}` and
`${VAR:-default}`. A path of a file starts from the directory of the file that names it.

**Change acts**: *reload*: with the next SIGHUP. *reload, new connections*: likewise, and a connection that is open keeps what it was
accepted with. *restart*: with a restart or `portaria upgrade`; a reload that changes it is refused.

";

/// The tables of the keys of a file, in the order of the rows.
fn tables(file: KeysOf) -> String {
    let mut sections: Vec<(String, Vec<&Key>)> = Vec::new();
    for key in of(file) {
        let table = key.path.rsplit_once('.').map_or("", |(table, _)| table);
        let is_table = matches!(key.kind, Kind::Table | Kind::Tables);
        let of_it = if is_table { key.path.as_str() } else { table };
        let of_it = match key.kind {
            Kind::Tables => format!("{of_it}[]"),
            _ => of_it.to_owned(),
        };
        match sections.iter_mut().find(|(name, _)| *name == of_it) {
            Some((_, keys)) => keys.push(key),
            None => sections.push((of_it, vec![key])),
        }
    }
    sections.iter().map(|(name, keys)| section(name, keys)).collect()
}

fn section(name: &str, keys: &[&Key]) -> String {
    let (tables, keys): (Vec<&Key>, Vec<&Key>) =
        keys.iter().partition(|key| matches!(key.kind, Kind::Table | Kind::Tables));
    let title = match name {
        "" => "At the top".to_owned(),
        name => format!("`{name}`"),
    };
    let mut text = format!("### {title}\n\n");
    for table in tables {
        let needed = match table.absent {
            Absent::Mistake => " Needed.".to_owned(),
            Absent::Means(means) => format!(" Without it: {means}."),
            Absent::Is(_) | Absent::IsOfPreset(_) | Absent::Nothing => String::new(),
        };
        text += &format!("{}.{needed}\n\n", sentence(table.says));
    }
    if !keys.is_empty() {
        text += "| key | holds | default | what it is for | change acts |\n|---|---|---|---|---|\n";
    }
    for key in keys {
        let default = match key.absent {
            Absent::Mistake => "needed".to_owned(),
            Absent::Is(text) => format!("`{}`", as_toml(&key.kind, text)),
            Absent::IsOfPreset(text) => format!("the preset's: `{}`", as_toml(&key.kind, text)),
            Absent::Means(text) => text.to_owned(),
            Absent::Nothing => String::new(),
        };
        let name = key.path.rsplit_once('.').map_or(key.path.as_str(), |(_, name)| name);
        let (holds, acts) = (holds(&key.kind), key.acts.as_str());
        text += &format!("| `{name}` | {holds} | {default} | {} | {acts} |\n", key.says);
    }
    text.trim_end().to_owned() + "\n\n"
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    first + letters.as_str()
}

fn holds(kind: &Kind) -> String {
    match kind {
        Kind::Form(form) => format!("`{}`", form.replace('|', "\\|")),
        Kind::Text => "text".to_owned(),
        Kind::Texts => "texts".to_owned(),
        Kind::Duration(span) => span.told("duration", "duration"),
        Kind::Size(span) => span.told("size", "size"),
        Kind::WordOrDuration(word, span) => {
            format!("{word:?} or {}", span.told("duration", "a duration"))
        }
        Kind::Number(least, most) => format!("{least} to {most}"),
        kind => kind.accepted(),
    }
}

#[test]
fn the_reference_is_the_table_of_keys() {
    let (config, policy) = (tables(KeysOf::Configuration), tables(KeysOf::Policy));
    let text = format!("{HEAD}## config.toml\n\n{config}## Policy files\n\n{policy}");
    write_or_compare("docs/configuration.md", &format!("{}\n", text.trim_end()));
}
