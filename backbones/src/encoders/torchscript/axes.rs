//! Axis strings: which axis of a tensor is which.

use szar_core::Result;
use tch::Tensor;

/// Every letter, with what it stands for.
const LETTERS: [(char, &str); 5] = [
    ('n', "samples"),
    ('m', "persons"),
    ('c', "channels"),
    ('t', "frames"),
    ('v', "joints"),
];

/// The axes of a tensor, in order, by their letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axes(Vec<char>);

impl Axes {
    /// Reads an axis string that holds every letter of `needed` and no letter twice.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub(super) fn parse(text: &str, needed: &str) -> Result<Self, String> {
        let mut axes = Vec::new();
        for letter in text.chars() {
            if !LETTERS.iter().any(|(known, _)| *known == letter) {
                let known = LETTERS.map(|(letter, meaning)| format!("{letter} ({meaning})"));
                return Err(format!(
                    "`{text}` names an axis `{letter}`; axes are {}",
                    known.join(", ")
                ));
            }
            if axes.contains(&letter) {
                return Err(format!("`{text}` names axis `{letter}` twice"));
            }
            axes.push(letter);
        }
        match needed.chars().find(|letter| !axes.contains(letter)) {
            Some(missing) => Err(format!("`{text}` lacks axis `{missing}` ({})", meaning(missing))),
            None => Ok(Self(axes)),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The letters, in order.
    pub(super) fn letters(&self) -> impl Iterator<Item = char> + '_ {
        self.0.iter().copied()
    }

    /// Is this axis among them?
    pub(super) fn has(&self, letter: char) -> bool {
        self.0.contains(&letter)
    }

    fn position(&self, letter: char) -> Option<i64> {
        self.0.iter().position(|l| *l == letter).map(|i| i as i64)
    }

    /// Brings a tensor whose axes are those of `order` into this order. Axes of `order` that are not here must not exist.
    ///
    /// # Errors
    /// When the tensor has another rank.
    pub(super) fn arrange(&self, tensor: &Tensor, order: &str) -> Result<Tensor> {
        let places: Vec<i64> = self
            .letters()
            .filter_map(|letter| order.chars().position(|l| l == letter))
            .map(|place| place as i64)
            .collect();
        Ok(tensor.f_permute(places)?)
    }

    /// Brings a tensor of these axes into the order of `order`; an axis that it lacks gets size 1.
    ///
    /// # Errors
    /// When the tensor has another rank.
    pub(super) fn spread(&self, tensor: &Tensor, order: &str) -> Result<Tensor> {
        let places: Vec<i64> = order.chars().filter_map(|letter| self.position(letter)).collect();
        let mut spread = tensor.f_permute(places)?;
        for (place, letter) in order.chars().enumerate() {
            if !self.has(letter) {
                spread = spread.f_unsqueeze(place as i64)?;
            }
        }
        Ok(spread)
    }
}

/// What a letter stands for.
pub(super) fn meaning(letter: char) -> &'static str {
    let found = LETTERS.iter().find(|(known, _)| *known == letter);
    found.map_or("?", |(_, meaning)| *meaning)
}
