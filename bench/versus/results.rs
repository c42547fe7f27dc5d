//! A run's results: one file, whose table is the README's, too.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use portaria::lab::Result;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::figures::{Column, Measured, Spread, shown};
use crate::machine;
use crate::rows::Row;

/// Around the part that is copied into the README.
const BEGIN: &str = "<!-- bench -->";
const END: &str = "<!-- /bench -->";

/// What a run gave so far.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) versions: Vec<String>,
    pub(crate) remarks: Vec<String>,
    lines: Vec<Measured>,
    details: String,
}

impl Results {
    /// Adds a row; gives its part of the table.
    pub(crate) fn add(&mut self, row: &Row, columns: &[Column], lines: Vec<Measured>) -> String {
        let table = table(&lines);
        self.lines.extend(lines);
        for (place, quantity) in row.quantities.iter().enumerate() {
            for column in columns {
                let Some(spread) = Spread::of(column.of(place)) else { continue };
                let _ = writeln!(
                    self.details,
                    "| {} | {} | {} | {} | {} |",
                    row.title,
                    quantity.unit,
                    column.proxy.name(),
                    shown(spread.median),
                    between(spread),
                );
            }
        }
        table
    }

    /// The whole file.
    pub(crate) fn text(&self, seconds: f64, rounds: usize) -> Result<String> {
        let now = OffsetDateTime::now_utc();
        let (commit, is_changed) = machine::commit()?;
        let at = now.format(format_description!("[year]-[month]-[day] [hour]:[minute] UTC"))?;
        let changed = if is_changed { ", with changes that are not committed" } else { "" };
        let mut text = format!("# {at}, commit {commit}{changed}\n\n{BEGIN}\n");
        writeln!(
            text,
            "{at}, commit {commit}{changed}; {}; {}. {rounds} rounds in turn, {seconds} s for each measurement.\n",
            machine::describe(),
            self.versions.join(", "),
        )?;
        for remark in &self.remarks {
            writeln!(text, "{remark}\n")?;
        }
        write!(text, "{}{END}\n\n", table(&self.lines))?;
        write!(text, "## What each proxy used\n\n")?;
        writeln!(text, "| | unit | proxy | median | rounds |\n|---|---|---|---|---|")?;
        text.push_str(&self.details);
        Ok(text)
    }

    /// Writes it beside those of other runs, and over none of them.
    pub(crate) fn save(&self, text: &str) -> Result<PathBuf> {
        let day = OffsetDateTime::now_utc().format(format_description!("[year]-[month]-[day]"))?;
        let (commit, _) = machine::commit()?;
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/results");
        std::fs::create_dir_all(&directory)?;
        let numbered = |number: u32| match number {
            1 => format!("{day}-{commit}.md"),
            _ => format!("{day}-{commit}-{number}.md"),
        };
        let name = (1..).map(numbered).find(|name| !directory.join(name).exists());
        let name = name.ok_or("too many results of this commit")?;
        std::fs::write(directory.join(&name), text)?;
        Ok(Path::new("bench/results").join(name))
    }
}

fn table(lines: &[Measured]) -> String {
    let mut text = String::from("| | at most | measured | rounds | met |\n|---|---|---|---|---|\n");
    for line in lines {
        let target = line.target.map_or_else(String::new, shown);
        let met = match line.target {
            Some(target) if line.spread.median <= target => "yes",
            Some(_) => "no",
            None => "",
        };
        let (median, rounds) = (shown(line.spread.median), between(line.spread));
        let _ = writeln!(text, "| {} | {target} | {median} | {rounds} | {met} |", line.title);
    }
    text
}

fn between(spread: Spread) -> String {
    format!("{} to {}", shown(spread.least), shown(spread.most))
}
