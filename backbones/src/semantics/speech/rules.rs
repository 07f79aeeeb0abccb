//! Rules that split the name of an action into verb and noun.
//!
//! They are written for the names of NTU RGB+D, PKU-MMD, MSR-Action3D, UTD-MHAD, NW-UCLA and the sets of this
//! project, and know no grammar beyond these forms:
//!
//! | form | example | verb | noun |
//! |---|---|---|---|
//! | verb, small words, object | `put on the glasses` | put on | glasses |
//! | gerund | `drinking water` | drink | water |
//! | object, direction behind | `rotate both arms backward` | rotate backward | both arms |
//! | object in a place | `put something into a bag` | put something into | bag |
//! | thing, verb | `tennis bat swing` | swing | tennis bat |
//! | manner, verb | `forward kick` | kick forward | - |
//! | two verbs | `open and close both arms` | open and close | both arms |
//!
//! Of alternatives (`hat/cap`, `sneeze or cough`) the first counts; brackets are left out unless they hold a
//! direction.

use super::Words;
use super::lexicon::{
    BODY_VERBS, COMPOUNDS, COUNTS, DETERMINERS, MANNER_VERBS, PLACES, action, among, base, is_direction,
    is_function, manner,
};

/// Verb and noun of a class's name, or `None` where the rules find no verb.
pub fn split(name: &str) -> Option<Words> {
    let words = tokens(name);
    if let Some(found) = idiom(&words) {
        return Some(found);
    }
    let words = alternatives(words);
    let at = main_verb(&words)?;
    Some(phrase(&words, at)?.into_words())
}

/// Lower-case words. Several words that act as one direction ("to the left") are one.
fn tokens(name: &str) -> Vec<String> {
    let lower = name.to_lowercase().replace('’', "'");
    let flat: String = without_brackets(&lower)
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || c == '\'' {
                c
            } else if c == '/' {
                '/'
            } else {
                ' '
            }
        })
        .collect();
    let mut words: Vec<String> = Vec::new();
    for word in flat.replace('/', " / ").split_whitespace() {
        let word = word.trim_matches('\'');
        let whole = COMPOUNDS
            .iter()
            .find(|(from, _)| *from == word)
            .map_or(word, |(_, to)| *to);
        words.extend(whole.split(' ').filter(|w| !w.is_empty()).map(str::to_owned));
    }
    for joined in [
        "to the left",
        "to the right",
        "side to side",
        "in front",
        "in place",
    ] {
        let parts: Vec<&str> = joined.split(' ').collect();
        while let Some(at) = words.windows(parts.len()).position(|w| w == parts) {
            words.splice(at..at + parts.len(), [joined.to_owned()]);
        }
    }
    words
}

/// Brackets go, but for those that hold directions alone ("counter clockwise").
fn without_brackets(name: &str) -> String {
    let mut kept = String::new();
    let mut rest = name;
    while let Some(open) = rest.find('(') {
        kept.push_str(&rest[..open]);
        let (inside, after) = rest[open + 1..]
            .split_once(')')
            .unwrap_or((&rest[open + 1..], ""));
        let mut words = inside.split_whitespace().peekable();
        if words.peek().is_some() && words.all(is_direction) {
            kept = format!("{kept} {inside} ");
        }
        rest = after;
    }
    kept + rest
}

/// Names that hold no verb but are known.
fn idiom(words: &[String]) -> Option<Words> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let some = |verb: &str, noun: String| Some(Words::new(verb, Some(noun)));
    let ache = |word: &str| word == "pain" || (word.len() > 4 && word.ends_with("ache"));
    match words.as_slice() {
        [thumb @ ("thumb" | "thumbs"), way @ ("up" | "down")] => some("make sign", format!("{thumb} {way}")),
        [part @ ("hand" | "hands" | "arm" | "arms"), "up"] => some("raise", (*part).to_owned()),
        [part @ ("hand" | "hands" | "arm" | "arms"), "down"] => some("lower", (*part).to_owned()),
        ["bye" | "byebye"] => some("say", "bye".into()),
        ["phone", "call"] => some("make", words.join(" ")),
        ["high", "five"] => some("give", words.join(" ")),
        ["rock", "paper", "scissors"] | ["rock", "scissors", "paper"] => some("play", words.join(" ")),
        ["make", what @ .., "sign"] if !what.is_empty() => some("make sign", what.join(" ")),
        [.., "game"] => some("play", words.join(" ")),
        [.., last] if ache(last) => some("have", words.join(" ")),
        _ => None,
    }
}

/// The first of alternatives: "a / b", "a or b".
fn alternatives(mut words: Vec<String>) -> Vec<String> {
    while let Some(at) = words.iter().position(|w| w == "/" || w == "or") {
        let before = words[..at].iter().any(|w| base(w).is_some());
        let first = at.checked_sub(1).and_then(|i| base(&words[i]));
        let second = words.get(at + 1).and_then(|w| base(w));
        let single = words[..at].len() <= 1;
        match (before, first.is_some() && single, second.is_some()) {
            // "punching / slapping someone": the other verb goes.
            (true, true, true) => drop(words.drain(at..at + 2)),
            // "nausea or vomiting": the verb is the other one.
            (false, _, true) => drop(words.drain(..=at)),
            // "put on a hat / cap": what follows goes.
            _ => words.truncate(at),
        }
    }
    words
}

/// Where the verb stands: in front, or behind what is done or how.
fn main_verb(words: &[String]) -> Option<usize> {
    let first = words
        .iter()
        .position(|w| manner(w).is_none() && !among(w, COUNTS))?;
    let end = (first + 1..words.len())
        .find(|i| is_function(&words[*i]))
        .unwrap_or(words.len());
    let behind = (first..end).rev().find(|i| action(&words[*i]).is_some());
    if base(&words[first]).is_some() {
        let how = among(&words[first], MANNER_VERBS) && end > first + 1;
        return match behind {
            Some(last) if how && last + 1 == end && last > first => Some(last),
            _ => Some(first),
        };
    }
    behind.or_else(|| (end..words.len()).find(|i| base(&words[*i]).is_some()))
}

/// A name taken apart.
struct Phrase {
    verb: Vec<String>,
    noun: Vec<String>,
}

impl Phrase {
    fn into_words(self) -> Words {
        let noun = Some(self.noun.join(" ")).filter(|noun| !noun.is_empty());
        Words::new(self.verb.join(" "), noun)
    }
}

/// The words around the verb at `at`.
fn phrase(words: &[String], at: usize) -> Option<Phrase> {
    let (before, after) = (&words[..at], &words[at + 1..]);
    let mut verb = vec![action(&words[at])?];
    let mut after = small_words(&mut verb, after);
    while let Some((second, rest)) = second_verb(after) {
        verb.extend(["and".into(), second]);
        after = small_words(&mut verb, rest);
    }
    // "sit to stand"
    if verb.last().is_some_and(|w| w == "to")
        && let [next] = after
        && let Some(second) = base(next)
    {
        verb.push(second);
        after = &[];
    }
    let (mut noun, rest) = thing(after);
    tail(&mut verb, &mut noun, rest);
    let (thing, how) = in_front(before);
    verb.extend(how);
    if !thing.is_empty() {
        // "arm swipe to the chest": what moves counts, not where it goes.
        if !noun.is_empty() {
            while verb.len() > 1 && verb.last().is_some_and(|w| is_function(w) && !is_direction(w)) {
                verb.pop();
            }
        }
        noun = thing;
    }
    if noun.len() == 1 && noun[0] == "condition" {
        noun.clear();
    }
    Some(Phrase { verb, noun })
}

/// Moves directions and prepositions to the verb; those in front of a noun ("left hand") stay.
fn small_words<'a>(verb: &mut Vec<String>, mut words: &'a [String]) -> &'a [String] {
    while let [word, rest @ ..] = words {
        let side = among(word, COUNTS)
            && rest
                .first()
                .is_some_and(|next| !is_function(next) && next != "and");
        // "touch back", "holding back": a part of the body.
        let end = rest.first().is_none_or(|next| next == "of");
        let body = word == "back" && end && among(&verb[0], BODY_VERBS);
        let joined = word == "and" && rest.first().is_some_and(|next| is_direction(next));
        if side || body || !(joined || is_function(word)) {
            break;
        }
        if word == "while" {
            return &[];
        }
        if word != "of" {
            verb.push(word.clone());
        }
        words = rest;
    }
    words
}

/// `and throw ...`.
fn second_verb(words: &[String]) -> Option<(String, &[String])> {
    match words {
        [and, next, rest @ ..] if and == "and" => base(next).map(|verb| (verb, rest)),
        _ => None,
    }
}

/// The noun and what stands behind it.
fn thing(words: &[String]) -> (Vec<String>, &[String]) {
    let body_back = |i: usize| i > 0 && words[i] == "back";
    let end = (0..words.len())
        .find(|i| {
            let side = among(&words[*i], COUNTS) && *i + 1 < words.len();
            words[*i] == "and" || (is_function(&words[*i]) && !side && !body_back(*i))
        })
        .unwrap_or(words.len());
    let end = if end == 0 && words.first().is_some_and(|w| w == "back") {
        1
    } else {
        end
    };
    (clean(&words[..end]), &words[end..])
}

/// A noun without determiners and owners; another person is `someone`.
fn clean(words: &[String]) -> Vec<String> {
    let other = words.iter().any(|w| w == "other");
    let bare: Vec<String> = words
        .iter()
        .filter(|w| !among(w, DETERMINERS) && !w.ends_with("'s") && *w != "and")
        .cloned()
        .collect();
    match bare.as_slice() {
        [person] if other && (person == "person" || person == "people") => vec!["someone".into()],
        [] if other => vec!["someone".into()],
        _ => bare,
    }
}

/// What stands behind the noun: a direction belongs to the verb; a place has the noun that counts.
fn tail(verb: &mut Vec<String>, noun: &mut Vec<String>, rest: &[String]) {
    let directions = rest.iter().take_while(|w| is_direction(w) || *w == "and").count();
    if !rest.is_empty() && directions == rest.len() {
        verb.extend(rest.iter().filter(|w| *w != "in front").cloned());
        return;
    }
    let place = rest.first().is_some_and(|w| among(w, PLACES)) && !noun.is_empty();
    let places = rest
        .iter()
        .take_while(|w| is_function(w) && !among(w, COUNTS))
        .count();
    let (second, _) = thing(rest.get(places..).unwrap_or_default());
    if place && !second.is_empty() {
        verb.append(noun);
        verb.extend(rest[..places].iter().filter(|w| *w != "of").cloned());
        *noun = second;
    }
}

/// What stands in front of the verb: a noun, and adverbs.
fn in_front(words: &[String]) -> (Vec<String>, Vec<String>) {
    let last = words.iter().rposition(|w| manner(w).is_none());
    let is_how = |i: usize, w: &str| manner(w).is_some() && (i == 0 || last.is_none_or(|last| i > last));
    let how = |(i, w): (usize, &String)| manner(w).filter(|_| is_how(i, w)).map(str::to_owned);
    let hows = words.iter().enumerate().filter_map(how).collect();
    let rest: Vec<String> = words
        .iter()
        .enumerate()
        .filter(|(i, w)| !is_how(*i, w))
        .map(|(_, w)| w.clone())
        .collect();
    let mut noun = clean(&rest);
    if noun.iter().all(|w| among(w, "left right")) {
        let sides = std::mem::take(&mut noun);
        return (noun, [hows, sides].concat());
    }
    let several = noun.first().is_some_and(|w| among(w, "both three two"));
    if let Some(last) = noun.last_mut().filter(|w| several && !w.ends_with('s')) {
        last.push('s');
    }
    (noun, hows)
}

#[cfg(test)]
mod tests;
