//! Prompts whose context words are vectors that can be tuned.
//!
//! Source: Zhou et al., "Learning to Prompt for Vision-Language Models" (CoOp), IJCV 2022, eq. 2 with one context
//! for all classes and the class at the end; tuned at test time by Shu et al., "Test-Time Prompt Tuning" (TPT),
//! NeurIPS 2022.
//!
//! | place | 0 | 1 .. n | n + 1 .. |
//! |---|---|---|---|
//! | token | start | context, the same for all classes | class, full stop, end, padding |

use szar_core::{Error, Result, shape};
use tch::Tensor;

use super::tower::ClipText;
use crate::semantics::parameters::unit;

/// The frozen text transformer reading one prompt per class, with the embeddings of the first `n_ctx` tokens behind
/// the start left open.
#[derive(Debug)]
pub struct PromptTower {
    tower: ClipText,
    /// `[C, 1, H]`, embedding of the start token.
    start: Tensor,
    /// `[n_ctx, H]`, the context as its words give it.
    context: Tensor,
    /// `[C, L - 1 - n_ctx, H]`, embeddings of what follows the context.
    rest: Tensor,
    /// `[C]`, where each text ends.
    ends: Tensor,
}

impl PromptTower {
    /// Prompts with a context of `n_ctx` tokens. What lies behind the longest text is cut off, since no token looks
    /// at later ones.
    ///
    /// # Shapes
    /// - `prompt_ids`: `[C, L]` i64, on any device
    ///
    /// # Errors
    /// [`Error::Shape`] for another rank; [`Error::Input`] when an id has no embedding, a text is too long, the
    /// context differs between classes or a text ends within it.
    pub fn new(tower: ClipText, prompt_ids: &Tensor, n_ctx: i64) -> Result<Self> {
        let ids = prompt_ids.to_device(tower.device());
        let embeddings = tower.embed(&ids)?;
        let ends = tower.ends(&ids)?;
        let (classes, length) = ids.size2()?;
        if n_ctx < 1 || n_ctx + 2 > length || classes == 0 {
            return Err(Error::Input(format!(
                "a context of {n_ctx} tokens does not fit {classes} prompts of {length} tokens, expected 1 to {} and at least one prompt",
                length - 2
            )));
        }
        let words = ids.narrow(1, 1, n_ctx);
        if !words.equal(&words.narrow(0, 0, 1).expand_as(&words)) {
            return Err(Error::Input(format!(
                "the {n_ctx} context tokens behind the start differ between classes, expected the same for all"
            )));
        }
        let (first, last) = (ends.min().int64_value(&[]), ends.max().int64_value(&[]));
        if first <= n_ctx {
            return Err(Error::Input(format!(
                "a prompt ends at token {first}, within its start and its context of {n_ctx} tokens"
            )));
        }
        let longest = tower.config().max_position_embeddings;
        if last >= longest {
            return Err(Error::Input(format!(
                "a prompt has {} tokens, the network takes at most {longest}",
                last + 1
            )));
        }
        Ok(Self {
            start: embeddings.narrow(1, 0, 1),
            context: embeddings.get(0).narrow(0, 1, n_ctx).copy(),
            rest: embeddings.narrow(1, 1 + n_ctx, last - n_ctx).copy(),
            ends,
            tower,
        })
    }

    /// The text transformer.
    pub fn tower(&self) -> &ClipText {
        &self.tower
    }
}

impl szar_core::PromptTower for PromptTower {
    fn context(&self) -> Tensor {
        self.context.copy()
    }

    fn texts(&self, context: &Tensor) -> Result<Tensor> {
        let want = self.context.size();
        shape::expect("context", context, [Some(want[0]), Some(want[1])])?;
        let classes = self.start.size()[0];
        let context = context.unsqueeze(0).expand([classes, -1, -1], false);
        let embeddings = Tensor::cat(&[&self.start, &context, &self.rest], 1);
        Ok(unit(&self.tower.texts(&embeddings, &self.ends)?))
    }
}
