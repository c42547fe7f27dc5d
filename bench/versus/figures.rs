//! From figures to the lines of the table: ratios within a round, their median and their spread.

use crate::proxies::{Kind, Proxy};
use crate::rows::{Line, Row, To};

/// What one proxy did: a round is what a measurement gave.
pub(crate) struct Column {
    pub(crate) proxy: Proxy,
    pub(crate) rounds: Vec<Vec<f64>>,
}

impl Column {
    pub(crate) fn of(&self, quantity: usize) -> Vec<f64> {
        self.rounds.iter().filter_map(|round| round.get(quantity).copied()).collect()
    }
}

/// A median with the least and the most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let median = *values.get(values.len() / 2)?;
        Some(Self { median, least: *values.first()?, most: *values.last()? })
    }
}

/// A line as measured.
pub(crate) struct Measured {
    pub(crate) title: String,
    pub(crate) target: Option<f64>,
    pub(crate) spread: Spread,
}

/// The lines of a row; those whose proxies are not there are left out.
pub(crate) fn lines(row: &Row, columns: &[Column], many_tokens: usize) -> Vec<Measured> {
    let mut measured = Vec::new();
    for (place, quantity) in row.quantities.iter().enumerate() {
        let now = Proxy::Portaria(row.subject);
        for line in quantity.lines {
            let spread = spread_of(line, now, columns, place);
            let title = line.title.replace("MANY", &with_commas(many_tokens));
            let target = Some(line.target);
            let floor = spread_of(line, Proxy::Floor, columns, place);
            let of_floor = format!("{title}: the floor");
            measured.extend(spread.map(|spread| Measured { title, target, spread }));
            measured.extend(floor.map(|spread| Measured { title: of_floor, target: None, spread }));
        }
        measured.extend(to_before(row.subject, columns, place).map(|spread| Measured {
            title: format!("{}: {}, to before", row.title, quantity.unit),
            target: None,
            spread,
        }));
    }
    measured
}

fn spread_of(line: &Line, subject: Proxy, columns: &[Column], quantity: usize) -> Option<Spread> {
    let of = |proxy| columns.iter().find(|c| c.proxy == proxy).map(|c| c.of(quantity));
    let own = of(subject)?;
    let base: Vec<f64> = match line.to {
        To::Nothing => own.iter().map(|_| 1.0).collect(),
        To::Proxy(proxy) => of(proxy)?,
        To::Best(proxies) => {
            let there: Vec<Vec<f64>> = proxies.iter().filter_map(|proxy| of(*proxy)).collect();
            let least = |round: usize| {
                there.iter().filter_map(|c| c.get(round).copied()).fold(f64::INFINITY, f64::min)
            };
            (0..own.len()).map(least).collect()
        }
    };
    Spread::of(own.iter().zip(base).map(|(own, base)| own / base).collect())
}

fn to_before(subject: Kind, columns: &[Column], quantity: usize) -> Option<Spread> {
    let of = |proxy| columns.iter().find(|c| c.proxy == proxy).map(|c| c.of(quantity));
    let (now, before) = (of(Proxy::Portaria(subject))?, of(Proxy::Before(subject))?);
    Spread::of(now.iter().zip(before).map(|(now, before)| now / before).collect())
}

/// A figure as it is read: no more digits than it has.
pub(crate) fn shown(value: f64) -> String {
    match value {
        value if value >= 1000.0 => with_commas(format!("{value:.0}").parse().unwrap_or_default()),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
