//! Parts that do not fit each other.

use super::{SOUND, problem, problems, resolve};
use crate::Problems;
use crate::config::check;

fn first(overrides: &[&str]) -> String {
    problem(SOUND, overrides).lines().next().unwrap().to_owned()
}

#[test]
fn a_wrong_text_width_is_told_with_both_widths() {
    let expected = "aligner `toy-match` wants anchors of width 384, semantics `toy-texts` gives 512\n  \
                    at /configs/pipeline.yaml:11:1, `aligner`\n\n\
                    hint: choose a text encoder of width 384, or train the aligner anew for 512";
    assert_eq!(problem(SOUND, &["aligner.width=384"]), expected);
    assert!(resolve(SOUND, &["aligner.width=512"]).is_ok());
}

#[test]
fn texts_that_the_semantics_do_not_give_are_named() {
    let text = first(&["aligner.head=true"]);
    assert_eq!(
        text,
        "aligner `toy-match` uses the texts global, head, semantics `toy-texts` has no head"
    );
}

#[test]
fn a_map_cannot_come_from_pooled_features() {
    assert!(resolve(SOUND, &["aligner.map=true"]).is_ok());
    let text = first(&["aligner.map=true", "encoder.pooled=true"]);
    assert!(
        text.contains("needs a spatio-temporal feature map, encoder `toy-net` gives pooled"),
        "{text}"
    );
}

#[test]
fn an_adapter_whose_needs_are_unmet_is_told_at_its_place() {
    let list = problems(SOUND, &["adapters.0.gradients=true"]);
    assert_eq!((list.len(), list[0].field.as_str()), (1, "adapters[0]"));
    assert!(
        list[0]
            .message
            .contains("differentiable in the anchors, aligner `toy-match` has none")
    );
}

#[test]
fn body_parts_are_not_found_among_nodes_that_are_no_joints() {
    assert!(resolve(SOUND, &["adapters.0.parts=true"]).is_ok());
    assert!(resolve(SOUND, &["encoder.cells=9"]).is_ok());
    let list = problems(SOUND, &["adapters.0.parts=true", "encoder.cells=9"]);
    assert_eq!((list.len(), list[0].field.as_str()), (1, "adapters[0]"));
    let text = &list[0].message;
    assert!(
        text.contains("the 9 joints of the features of encoder `toy-net` are not"),
        "{text}"
    );
}

#[test]
fn gzsl_needs_a_gate_and_a_gate_may_need_a_classifier() {
    assert_eq!(
        first(&["evaluate=[zsl, gzsl]"]),
        "evaluate asks for gzsl, but there is no gate"
    );
    assert!(resolve(SOUND, &["evaluate=[gzsl]", "gate.type=toy-gate"]).is_ok());
    let text = first(&["gate={type: toy-gate, by_encoder: true}"]);
    assert_eq!(
        text,
        "gate `toy-gate` needs an encoder that classifies the seen classes, encoder `toy-net` does not"
    );
}

#[test]
fn every_misfit_is_reported_even_beside_a_refused_part() {
    let list = problems(
        SOUND,
        &["adapters.0.capacity=no", "aligner.width=1", "evaluate=[gzsl]"],
    );
    assert_eq!(list.len(), 3, "{list:#?}");
}

#[test]
fn a_part_with_wrong_options_is_not_asked_further() {
    // A stride of 0 would divide by zero when asked for the features' form.
    assert_eq!(first(&["encoder.stride=0"]), "must be at least 1, got 0");
}

#[test]
fn a_sound_pipeline_passes_check_again() {
    let mut problems = Problems::new();
    check(&resolve(SOUND, &[]).unwrap().pipeline, &mut problems);
    assert!(problems.is_empty(), "{problems}");
}
