use bailiff_bench::Results;
use std::fmt::Write;

pub(super) fn table(results: &Results) -> String {
    let mut text = format!(
        "Linux {}: what sessions cost their daemon, clients and commands\n",
        results.release
    );
    for cell in &results.sessions {
        let (figure, unit) = (cell.figure, cell.figure.unit());
        let _ = writeln!(text, "{figure:<23} {:>14} {unit}", grouped(cell.value));
    }
    text
}

/// With a comma after each third digit from the right.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
