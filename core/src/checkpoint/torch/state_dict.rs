//! Which dict of a checkpoint is the state_dict.

use std::rc::Rc;

use crate::checkpoint::Flaw;
use crate::checkpoint::pickle::{Id, TensorRef, Unpickled, Value, shown};

/// Where training code keeps its state_dict; the first of them goes before other dicts of tensors beside it.
const USUAL: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

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
    let mut found = Vec::new();
    for (key, value) in entries {
        if let (Some(key), Ok(chosen)) = (heap.text(*key), tensors(object, *value)) {
            found.push((key, chosen));
        }
    }
    let usual = USUAL
        .iter()
        .find_map(|usual| found.iter().position(|(key, _)| &***key == *usual));
    match (found.len(), usual) {
        (1, _) => Ok(found.swap_remove(0).1),
        (0, _) => Err((None, nothing(object, entries))),
        (_, Some(index)) => {
            let (key, chosen) = found.swap_remove(index);
            tracing::info!("several dicts of tensors in the weights: took `{key}`");
            Ok(chosen)
        }
        (_, None) => {
            let keys: Vec<_> = found.iter().map(|(key, _)| format!("`{}`", shown(key))).collect();
            let why = format!(
                "holds several state_dicts, under {}; save the one that is meant in a file of its own",
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
        if there.len() < 12 {
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
