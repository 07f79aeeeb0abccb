//! What is encoded for a class: a template per granularity around the written text.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{Granularity, Problems};

/// A named set of templates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Prompt {
    /// Texts as written; the global one behind the class name, `{name}: {text}`, as in the official text files of
    /// PURLS and Skeleton-Cache.
    #[default]
    None,
    /// The wrappers of PURLS, supplementary table 3: "a cropped video of people's head motions that ..." for parts,
    /// "a trimmed video of the motion that ..." for phases. The official code doesn't use them.
    Purls,
}

impl Prompt {
    /// The template of a granularity.
    pub fn template(self, granularity: &Granularity) -> &'static str {
        match (self, granularity.as_str()) {
            // Names and their words stand for themselves.
            (_, "label" | "verb" | "noun") => "{text}",
            (Self::None, "global") => "{name}: {text}",
            (Self::None, _) => "{text}",
            (Self::Purls, "head") => "a cropped video of people's head motions that {text}.",
            (Self::Purls, "hands") => "a cropped video of people's hand motions that {text}.",
            (Self::Purls, "torso") => "a cropped video of people's torso motions that {text}.",
            (Self::Purls, "legs") => "a cropped video of people's leg motions that {text}.",
            (Self::Purls, "start" | "middle" | "end") => "a trimmed video of the motion that {text}.",
            (Self::Purls, _) => "a video of people's motion that {text}.",
        }
    }
}

/// A named set with exceptions.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    /// The set.
    pub prompt: Prompt,
    /// Templates that stand in for the set's.
    pub own: BTreeMap<Granularity, String>,
}

impl Templates {
    /// The text to encode.
    pub fn fill(&self, granularity: &Granularity, name: &str, text: &str) -> String {
        let own = self.own.get(granularity).map(String::as_str);
        let mut rest = own.unwrap_or_else(|| self.prompt.template(granularity));
        // In one pass, so that braces in a name or text mean nothing.
        let mut filled = String::new();
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let fields = [("{name}", name), ("{text}", text), ("{", "{")];
            let field = fields.into_iter().find(|(field, _)| rest.starts_with(field));
            let (field, value) = field.unwrap_or(("{", "{"));
            filled.push_str(value);
            rest = &rest[field.len()..];
        }
        filled + rest
    }
}

/// Adds what is wrong with a template to `problems`.
pub(super) fn check(granularity: &Granularity, template: &str, problems: &mut Problems) {
    let bare = template.replace("{name}", "").replace("{text}", "");
    let field = granularity.as_str();
    problems.check(bare.len() < template.len(), field, || {
        format!(
            "template \"{template}\" holds neither `{{text}}` nor `{{name}}`, so all classes would be alike"
        )
    });
    problems.check(!bare.contains(['{', '}']), field, || {
        format!("template \"{template}\" holds a brace that is part of neither `{{text}}` nor `{{name}}`")
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_global_text_carries_the_name() {
        let templates = Templates::default();
        assert_eq!(templates.fill(&Granularity::GLOBAL, "walk", "step"), "walk: step");
        assert_eq!(
            templates.fill(&Granularity::HEAD, "walk", "stays level"),
            "stays level"
        );
    }

    #[test]
    fn an_own_template_wins_and_is_filled_once() {
        let own = [(Granularity::HEAD, "{name}/{text}".to_owned())].into();
        let templates = Templates {
            prompt: Prompt::Purls,
            own,
        };
        assert_eq!(
            templates.fill(&Granularity::HEAD, "{text}", "nods"),
            "{text}/nods"
        );
        let legs = templates.fill(&Granularity::LEGS, "walk", "step");
        assert_eq!(legs, "a cropped video of people's leg motions that step.");
    }

    #[test]
    fn templates_that_mean_nothing_are_refused() {
        let mut problems = Problems::new();
        check(&Granularity::HEAD, "a head", &mut problems);
        check(&Granularity::LEGS, "{text} of {nam}", &mut problems);
        check(&Granularity::END, "{text}", &mut problems);
        let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["head", "legs"]);
    }
}
