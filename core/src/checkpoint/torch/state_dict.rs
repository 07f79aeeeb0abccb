//! Which dict of a checkpoint is the state_dict.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::checkpoint::Flaw;
use crate::checkpoint::pickle::{Id, TensorRef, Unpickled, Value, shown};

/// Where training code keeps its state_dict; the first of them goes before other dicts of tensors beside it.
const USUAL: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// The most keys that a message lists.
const MOST_SHOWN: usize = 12;

/// Tensors by name, not read yet.
pub(super) type Chosen = Vec<(Rc<str>, Rc<TensorRef>)>;

/// The outermost dict if all its values are tensors; else the only such dict in it; else, of several, the first
/// under a usual name.
pub(super) fn choose(object: &Unpickled) -> Result<Chosen, Flaw> {
    let (heap, root) = (&object.heap, object.root);
    let Some(entries) = heap.entries(root) else {
        let what = heap.get(root).what();
        return Err((
            None,
            format!("holds {what}, expected a state_dict: tensors by name"),
        ));
    };
    if let Ok(chosen) = tensors(object, root) {
        return Ok(chosen);
    }
    // One dict may stand under many keys: it is looked at once.
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (key, value) in entries {
        if let Some(key) = heap.text(*key)
            && heap.entries(*value).is_some()
            && seen.insert(*value)
            && tensors(object, *value).is_ok()
        {
            found.push((key, *value));
        }
    }
    let take = |dict| tensors(object, dict).map_err(|why| (None, why));
    let usual = |usual: &&str| found.iter().find(|(key, _)| &***key == *usual);
    match (found.as_slice(), USUAL.iter().find_map(usual)) {
        ([], _) => Err((None, nothing(object, entries))),
        ([(_, only)], _) => take(*only),
        (_, Some((key, dict))) => {
            tracing::info!("several dicts of tensors in the weights: took `{key}`");
            take(*dict)
        }
        (several, None) => {
            let keys = several.iter().take(MOST_SHOWN);
            let keys: Vec<_> = keys.map(|(key, _)| format!("`{}`", shown(key))).collect();
            let more = if several.len() > keys.len() { ", ..." } else { "" };
            let why = format!(
                "holds several state_dicts, under {}{more}; save the one that is meant in a file of its own",
                keys.join(", ")
            );
            Err((None, why))
        }
    }
}

/// The entries of a dict that holds tensors by name and nothing else, or what is wrong with it.
fn tensors(object: &Unpickled, dict: Id) -> Result<Chosen, String> {
    let heap = &object.heap;
    let entries = heap.entries(dict).ok_or("is no dict")?;
    let mut chosen = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let name = heap
            .text(*key)
            .ok_or_else(|| format!("has {} as a name", heap.get(*key).what()))?;
        match heap.get(*value) {
            Value::Tensor(tensor) => chosen.push((Rc::clone(name), Rc::clone(tensor))),
            other => return Err(format!("holds {} under `{}`", other.what(), shown(name))),
        }
    }
    if chosen.is_empty() {
        return Err("is empty".into());
    }
    Ok(chosen)
}

/// What there is where no state_dict is.
fn nothing(object: &Unpickled, entries: &[(Id, Id)]) -> String {
    let heap = &object.heap;
    let mut there = Vec::new();
    for (key, value) in entries {
        let name = heap.text(*key).map_or("?".to_owned(), |t| shown(t));
        if USUAL.contains(&name.as_str())
            && let Err(why) = tensors(object, *value)
        {
            return format!("holds no state_dict: `{name}` {why}, expected tensors by name");
        }
        if there.len() < MOST_SHOWN {
            there.push(format!("`{name}` ({})", heap.get(*value).what()));
        }
    }
    if there.is_empty() {
        return "holds an empty dict, expected tensors by name".into();
    }
    let more = if entries.len() > there.len() { ", ..." } else { "" };
    format!(
        "holds no state_dict, no dict of nothing but tensors by name; there is {}{more}",
        there.join(", ")
    )
}
