//! CNPJ: the number of a company, with its check digits.
//!
//! Twelve characters and two check digits modulo 11. Since July 2026 the twelve may be letters
//! (Instrução Normativa RFB 2.229/2024); a letter counts as its ASCII code less 48, as a digit does.

/// Whether it is the fourteen characters of a CNPJ, without punctuation, and the check digits fit.
pub(super) fn is_valid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((base, digits)) = bytes.split_at_checked(12) else {
        return false;
    };
    let is_base = base.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    // Its check digits fit, and it is nobody's.
    let is_zero = bytes.iter().all(|b| *b == b'0');
    let [first, second] = digits else {
        return false;
    };
    let expected = check_digit(base.iter());
    let with_first = base.iter().chain(std::iter::once(first));
    is_base && !is_zero && *first == expected && *second == check_digit(with_first)
}

/// Weights 2 to 9 from the right, and again.
fn check_digit<'a>(characters: impl DoubleEndedIterator<Item = &'a u8>) -> u8 {
    let weights = (2..=9).cycle();
    // Saturating for bytes below `0`, which `is_base` refuses anyway.
    let values = characters.rev().map(|b| u32::from(b.saturating_sub(b'0')));
    let sum: u32 = values.zip(weights).map(|(value, weight)| value * weight).sum();
    match sum % 11 {
        0 | 1 => b'0',
        // 11 less 2 to 10 is one digit.
        rest => b'0' + u8::try_from(11 - rest).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn check_digits_are_checked() {
        // Of Receita Federal's own example, of a ministry, of an exchange, and of the samples' issuers.
        for good in ["12ABC34501DE35", "00394460000141", "09346601000125", "11222333000181"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in [
            "12ABC34501DE36",
            "12abc34501de35",
            "11222333000182",
            "11222333000191",
            "00000000000000",
            "11.222.333/0001-81",
            "1122233300018",
            "112223330001811",
            "12345678909",
            "11222333000ÁÁ",
            "",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
