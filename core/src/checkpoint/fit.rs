//! Weights into the parameters of a component, or all that keeps them from fitting.

use super::NamedTensors;
use crate::{Error, Result, error::nearest};

/// The most pairs of names that are compared letter by letter, so that the message never takes longer than the reading.
const MAX_PAIRS: usize = 200_000;

/// Copies `from` into the parameters and buffers `into`, name by name, without replacing the tensors.
///
/// # Errors
/// [`Error::Input`] listing all missing names, unknown names and shapes that differ, unless `optional` allows the name
/// to be absent.
pub fn copy_into(into: &NamedTensors, from: &NamedTensors, optional: impl Fn(&str) -> bool) -> Result<()> {
    let mut missing = Vec::new();
    let mut shapes = Vec::new();
    for (name, target) in into {
        match from.get(name) {
            None if optional(name) => {}
            None => missing.push(name.as_str()),
            Some(source) if source.size() != target.size() => {
                shapes.push((name.as_str(), source.size(), target.size()));
            }
            Some(_) => {}
        }
    }
    let beside = |name: &&String| !into.contains_key(*name) && !optional(name);
    let unknown: Vec<&str> = from.keys().filter(beside).map(String::as_str).collect();
    if !(missing.is_empty() && shapes.is_empty() && unknown.is_empty()) {
        return Err(Error::Input(misfit(&missing, &unknown, &shapes)));
    }
    tch::no_grad(|| {
        for (name, target) in into {
            if let Some(source) = from.get(name) {
                target.shallow_clone().copy_(source);
            }
        }
    });
    Ok(())
}

/// What does not fit, a line each below the first.
fn misfit(missing: &[&str], unknown: &[&str], shapes: &[(&str, Vec<i64>, Vec<i64>)]) -> String {
    let near = missing.len().saturating_mul(unknown.len()) <= MAX_PAIRS;
    let counted = |list: usize, what: &str| (list > 0).then(|| format!("{list} {what}"));
    let counts: Vec<String> = [
        counted(missing.len(), "missing"),
        counted(unknown.len(), "unknown"),
        counted(shapes.len(), "of another shape"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut text = format!("weights do not fit: {}", counts.join(", "));
    let mut line = |name: &str, rest: &str| {
        text.push_str("\n  `");
        text.extend(name.chars().flat_map(char::escape_debug));
        text.push('`');
        text.push_str(rest);
    };
    let hint = |name, others, side| match counterpart(name, others, near) {
        Some(other) => format!("; nearest {side}: `{}`", other.escape_debug()),
        None => String::new(),
    };
    for name in missing {
        line(
            name,
            &format!(" is missing{}", hint(name, unknown, "in the weights")),
        );
    }
    for name in unknown {
        line(name, &format!(" is unknown{}", hint(name, missing, "expected")));
    }
    for (name, found, expected) in shapes {
        line(name, &format!(" has shape {found:?}, expected {expected:?}"));
    }
    text
}

/// The name among those without a partner that is most probably meant: the same behind or before a dot, else the nearest
/// in letters.
fn counterpart<'a>(name: &str, others: &[&'a str], letters: bool) -> Option<&'a str> {
    let ends = |long: &str, short: &str| {
        let front = long.strip_suffix(short);
        front.is_some_and(|front| front.ends_with('.'))
    };
    let same = others
        .iter()
        .filter(|other| ends(name, other) || ends(other, name));
    let same = same.min_by_key(|other| other.len().abs_diff(name.len()));
    match same {
        Some(other) => Some(other),
        None if letters => nearest(name, others.iter().copied()),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Tensor, kind::FLOAT_CPU};

    fn named<const N: usize>(names: [(&str, i64); N]) -> NamedTensors {
        let tensor = |(name, size): (&str, i64)| (name.to_owned(), Tensor::zeros([size], FLOAT_CPU));
        names.map(tensor).into()
    }

    fn refusal(into: &NamedTensors, from: &NamedTensors) -> String {
        copy_into(into, from, |_| false).unwrap_err().to_string()
    }

    #[test]
    fn all_that_does_not_fit_is_listed() {
        let into = named([("a", 2), ("b.weight", 2), ("net.0.bias", 2), ("same", 1)]);
        let from = named([("a", 3), ("b.weigth", 2), ("c", 2), ("same", 1), ("0.bias", 2)]);
        assert_eq!(
            refusal(&into, &from),
            "weights do not fit: 2 missing, 3 unknown, 1 of another shape\n  \
             `b.weight` is missing; nearest in the weights: `b.weigth`\n  \
             `net.0.bias` is missing; nearest in the weights: `0.bias`\n  \
             `0.bias` is unknown; nearest expected: `net.0.bias`\n  \
             `b.weigth` is unknown; nearest expected: `b.weight`\n  \
             `c` is unknown\n  \
             `a` has shape [3], expected [2]"
        );
    }

    #[test]
    fn hundreds_of_names_have_a_line_each() {
        let many = |front: &str| -> NamedTensors {
            let name = |i| (format!("{front}.{i}"), Tensor::zeros([1], FLOAT_CPU));
            (0..600).map(name).collect()
        };
        let text = refusal(&many("encoder.layer"), &many("encoder.layers"));
        assert!(
            text.starts_with("weights do not fit: 600 missing, 600 unknown\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1201);
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_the_terminal() {
        let text = refusal(&named([]), &named([("\x1b[2J", 1)]));
        assert!(text.contains(r"`\u{1b}[2J` is unknown"), "{text}");
    }

    #[test]
    fn what_is_optional_may_be_absent_or_more() {
        let into = named([("a", 1), ("count", 1)]);
        copy_into(&into, &named([("a", 1), ("more.count", 1)]), |n| {
            n.ends_with("count")
        })
        .unwrap();
    }
}
