//! PYSKL's names of the same parameters.

use szar_core::{Error, NamedTensors, Result, SkeletonLayout};

/// Renames a state dict of PYSKL's AAGCN with its head; one with the official names stays as it is.
///
/// PYSKL's `backbone.A` is the graph that every block's own starts from. The blocks' are loaded, so it says nothing
/// but for how many joints they are.
pub(super) fn from_pyskl(given: &mut NamedTensors, layout: &SkeletonLayout) -> Result<()> {
    if let Some(graph) = given.remove("backbone.A") {
        let joints = graph.size().last().copied().unwrap_or(0);
        if joints != layout.len() as i64 {
            return Err(Error::Input(format!(
                "the weights were trained on {joints} joints, layout `{}` has {}",
                layout.name,
                layout.len()
            )));
        }
    }
    let renamed = std::mem::take(given).into_iter();
    *given = renamed
        .map(|(name, tensor)| (official(&name).unwrap_or(name), tensor))
        .collect();
    Ok(())
}

/// `backbone.gcn.0.gcn.A` as `l1.gcn1.PA`, and so on; `None` for a name that is not PYSKL's.
fn official(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("cls_head.fc_cls.") {
        return Some(format!("fc.{rest}"));
    }
    let rest = name.strip_prefix("backbone.")?;
    let Some(rest) = rest.strip_prefix("gcn.") else {
        return Some(rest.to_owned());
    };
    let (block, rest) = rest.split_once('.')?;
    let block = block.parse::<usize>().ok()? + 1;
    let (part, rest) = rest.split_once('.')?;
    Some(match (part, rest) {
        ("gcn", "A") => format!("l{block}.gcn1.PA"),
        ("gcn" | "tcn", rest) => format!("l{block}.{part}1.{rest}"),
        _ => format!("l{block}.{part}.{rest}"),
    })
}

#[cfg(test)]
mod tests {
    use super::official;

    #[test]
    fn every_kind_of_name_is_translated() {
        for (theirs, ours) in [
            ("backbone.data_bn.weight", "data_bn.weight"),
            ("backbone.gcn.0.gcn.A", "l1.gcn1.PA"),
            ("backbone.gcn.9.gcn.down.1.bias", "l10.gcn1.down.1.bias"),
            ("backbone.gcn.4.residual.conv.bias", "l5.residual.conv.bias"),
            ("backbone.gcn.4.tcn.bn.weight", "l5.tcn1.bn.weight"),
            ("cls_head.fc_cls.bias", "fc.bias"),
        ] {
            assert_eq!(official(theirs).as_deref(), Some(ours));
        }
        assert_eq!(official("l1.gcn1.PA"), None);
    }
}
