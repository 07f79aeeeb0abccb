//! Words beside the figures.

use super::scene::{Item, Point};

/// Width of a letter, pixels.
pub(super) const LETTER: f32 = 7.0;
/// Height of a line, pixels.
pub(super) const LINE: f32 = 16.0;

/// A line of words with its upper left corner at (x, y).
pub(super) fn text(x: f32, y: f32, text: &str) -> Item {
    Item::Text {
        at: Point { x, y },
        text: clean(text),
    }
}

/// Without characters that an XML file must not hold or that would break the line.
pub(super) fn clean(text: &str) -> String {
    let bad = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}');
    let shown = |c| if bad(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// Letters' widths that a character takes: two from the East Asian blocks on.
fn columns(character: char) -> usize {
    if character >= '\u{1100}' { 2 } else { 1 }
}

/// Letters' widths that a line takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// At most `lines` lines of at most `limit` letters; breaks at spaces where it can, and ends in dots what is too long.
pub(super) fn wrap(text: &str, limit: usize, lines: usize) -> Vec<String> {
    let mut wrapped = vec![String::new()];
    for word in clean(text).split_whitespace() {
        let last = wrapped.last().map_or(0, |line| width(line));
        if last > 0 && last + 1 + width(word) > limit {
            wrapped.push(String::new());
        }
        if let Some(line) = wrapped.last_mut().filter(|line| !line.is_empty()) {
            line.push(' ');
        }
        for character in word.chars() {
            let full = |line: &String| width(line) + columns(character) > limit;
            if wrapped.last().is_some_and(full) {
                wrapped.push(String::new());
            }
            if let Some(line) = wrapped.last_mut() {
                line.push(character);
            }
        }
    }
    if wrapped.len() > lines {
        wrapped.truncate(lines);
        if let Some(line) = wrapped.last_mut() {
            while width(line) + 3 > limit && line.pop().is_some() {}
            line.push_str("...");
        }
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_break_at_spaces_and_end_in_dots() {
        assert_eq!(wrap("put on a hat", 8, 3), ["put on a", "hat"]);
        assert_eq!(wrap("unbreakable", 4, 3), ["unbr", "eaka", "ble"]);
        assert_eq!(wrap("one two three four", 5, 2), ["one", "tw..."]);
        assert_eq!(wrap("挥手挥手", 4, 2), ["挥手", "挥手"]);
        assert_eq!(wrap("", 4, 2), [""]);
    }

    #[test]
    fn control_characters_do_not_pass() {
        assert_eq!(clean("a\u{1}b\nc"), "a\u{fffd}b\u{fffd}c");
    }
}
