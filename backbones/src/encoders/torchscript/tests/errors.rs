//! What is refused, and with which words.

use serde_json::json;

use super::archive::forward;
use super::*;

const POOLED: &str = "return torch.mean(x, [2, 3, 4])";

fn refusal(path: &Path, options: serde_json::Value) -> String {
    let error = build(&config(path, options), 2).expect_err("must be refused");
    assert!(error.is_input(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&*path.to_string_lossy()), "{text}");
    text
}

/// What is said of a module with this result, in one line after the file.
fn said(returns: &str, body: &str, options: serde_json::Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = forward(folder.path(), returns, body);
    let text = refusal(&path, options);
    assert_eq!(text.lines().count(), 1, "{text}");
    text.replace(&format!("{}, ", path.display()), "")
}

#[test]
fn files_that_are_no_module_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("module.pt");
    assert!(refusal(&path, json!({})).contains("cannot read"));
    assert!(refusal(folder.path(), json!({})).contains("cannot read"));
    for bytes in [b"".as_slice(), b"no module", b"PK\x03\x04", b"\x80\x02}q\x00."] {
        std::fs::write(&path, bytes).unwrap();
        let text = refusal(&path, json!({}));
        assert!(
            text.contains("not a whole TorchScript archive (") && text.contains("\n\nhint: "),
            "{text}"
        );
        assert_eq!(text.lines().count(), 3, "{text}");
    }
    // A state dict is a zip archive with tensors, and no program.
    Tensor::save_multi(&[("w", Tensor::zeros([2], CPU))], &path).unwrap();
    assert!(build(&config(&path, json!({})), 2).is_err());
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = forward(folder.path(), "Tensor", POOLED);
    let whole = std::fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(37).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        refusal(&path, json!({}));
    }
}

#[test]
fn calls_that_do_not_fit_are_refused() {
    let method = said("Tensor", POOLED, json!({"method": "extract"}));
    assert!(
        method.starts_with("method `extract`: ") && method.contains("not defined"),
        "{method}"
    );
    let many = said("Tensor", POOLED, json!({"inputs": ["joints", "frames"]}));
    assert!(many.contains("received 3") && many.contains("Tensor x"), "{many}");
    let folder = tempfile::tempdir().unwrap();
    let two = "  def forward(self: __torch__.Net, x: Tensor, frames: Tensor) -> Tensor:\n    return x";
    let few = refusal(&super::archive::script(folder.path(), two), json!({}));
    assert!(few.contains("missing value for argument 'frames'"), "{few}");
    assert_eq!(few.lines().count(), 1, "{few}");
}

#[test]
fn results_that_are_not_there_are_refused() {
    let tuple = |options| said("Tuple[Tensor, Tensor]", "return (x, x)", options);
    assert_eq!(
        tuple(json!({"output": 2})),
        "method `forward`, `output` 2: is a tuple of 2, counted from 0, and has no result `2`"
    );
    assert_eq!(
        tuple(json!({})),
        "method `forward`, `output`: is a tuple of 2, expected a tensor"
    );
    assert_eq!(
        tuple(json!({"output": "0.map"})),
        "method `forward`, `output` 0.map: is a tensor, `map` cannot be taken from it"
    );
    let dict = said(
        "Dict[str, Tensor]",
        "return {\"features\": x, \"logits\": x}",
        json!({"output": "feature"}),
    );
    assert!(
        dict.ends_with("is a dict of 2, unknown key `feature`; did you mean `features`?"),
        "{dict}"
    );
}

#[test]
fn results_of_another_form_are_refused() {
    let form = |body: &str, options| said("Tensor", body, options);
    assert_eq!(
        form("return x", json!({"output_layout": "nctv"})),
        "method `forward`, `output`: has shape [2, 3, 6, 5, 2], expected 4 axes, `nctv`"
    );
    assert_eq!(
        form(POOLED, json!({"channels": 64})),
        "method `forward`, `output`: has 3 channels (shape [2, 3]), expected 64: set `channels` to what the module gives"
    );
    let frames = form(
        "return torch.mean(x, [4])",
        json!({"output_layout": "nctv", "channels": 3, "frames": 2}),
    );
    assert!(
        frames.contains("has 6 frames") && frames.contains("set `frames`"),
        "{frames}"
    );
    let joints = form(
        "return torch.mean(x, [4])",
        json!({"output_layout": "nctv", "channels": 3, "joints": 2}),
    );
    assert!(joints.contains("has 5 joints"), "{joints}");
    let kind = form("return torch.argmax(x, 1)", json!({"channels": 3}));
    assert!(
        kind.ends_with("is a tensor of kind Int64, expected dense floating point"),
        "{kind}"
    );
    let sparse = form(
        "return torch.to_sparse(torch.mean(x, [2, 3, 4]), 2)",
        json!({"channels": 3}),
    );
    assert!(sparse.contains("sparse"), "{sparse}");
    let persons = form(
        "return torch.slice(x, 4, 0, 1)",
        json!({"channels": 3, "output_layout": "nctvm"}),
    );
    assert!(persons.contains("has 1 persons"), "{persons}");
    let body = "return (torch.mean(x, [2, 3, 4]), torch.mean(x, [1, 2, 3]))";
    let logits = said(
        "Tuple[Tensor, Tensor]",
        body,
        json!({"channels": 3, "output": 0, "logits": 1}),
    );
    assert!(
        logits.contains("`logits` 1: has 2 channels") && logits.contains("expected 3"),
        "{logits}"
    );
}

#[test]
fn a_trace_that_kept_its_batch_size_is_noticed_when_it_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = traced(folder.path(), &[2, 3, FRAMES, JOINTS, 2], |x| x.reshape([2, -1]));
    let text = refusal(&path, json!({"channels": 180}));
    assert!(
        text.contains("has 2 samples (shape [2, 270]), expected 3"),
        "{text}"
    );
    assert!(text.contains("a trace may have kept"), "{text}");
}

#[test]
fn an_exception_inside_is_told_in_one_line() {
    let raised = said(
        "Tensor",
        "ops.prim.RaiseException(\"only 25 joints are known\", \"builtins.ValueError\")\n    return x",
        json!({}),
    );
    assert!(
        raised.contains("ValueError: only 25 joints are known"),
        "{raised}"
    );
    let shapes = said("Tensor", "return torch.matmul(x, torch.zeros([7, 7]))", json!({}));
    assert!(shapes.contains("RuntimeError: "), "{shapes}");
}

#[test]
fn an_exception_in_the_middle_of_a_run_is_an_error_too() {
    let folder = tempfile::tempdir().unwrap();
    let body = "if bool(torch.gt(torch.sum(x), 0.)):
      ops.prim.RaiseException(\"too much\")
    return torch.mean(x, [2, 3, 4])";
    let path = forward(folder.path(), "Tensor", body);
    let encoder = build(&config(&path, json!({"channels": 3})), 1).unwrap();
    let mut batch = batch(1, &[true]);
    batch.joints = batch.joints.abs();
    let text = encoder.encode(&batch).unwrap_err().to_string();
    assert!(
        text.contains("script.pt, method `forward`: ") && text.contains("too much"),
        "{text}"
    );
}

#[test]
fn options_that_make_no_sense_are_listed() {
    let has = |options: serde_json::Value, words: &str| {
        let text = problems(options);
        assert!(text.contains(words), "`{words}` not in\n{text}");
    };
    has(
        json!({"layout": "nctx"}),
        "`nctx` names an axis `x`; axes are n (samples), m (persons)",
    );
    has(json!({"layout": "ncttv"}), "names axis `t` twice");
    has(json!({"layout": "nct"}), "lacks axis `v` (joints)");
    has(json!({"output_layout": "ntv"}), "lacks axis `c` (channels)");
    has(json!({"output_layout": ""}), "lacks axis `n`");
    has(
        json!({"layout": "nctv", "output_layout": "nmc"}),
        "sees one at a time",
    );
    has(
        json!({"layout": "nctv", "inputs": ["joints", "present"]}),
        "`present` needs `m`",
    );
    has(json!({"inputs": ["frames"]}), "must name `joints`");
    has(json!({"inputs": ["joints", "joints"]}), "twice");
    has(json!({"frames": 4}), "has no axis `t`");
    has(json!({"channels": 0}), "between 1 and 65536");
    has(json!({"method": "a.b"}), "no name of a method");
    has(json!({"output": "1..x"}), "with dots between");
    let mut none = szar_core::Problems::new();
    TorchScriptConfig::default().validate(&mut none);
    assert_eq!(none.len(), 1, "only the file is missing: {none}");
}
