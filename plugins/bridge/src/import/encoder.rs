//! An encoder of the other side.

use szar_core::{
    EncoderSpec, Encoding, FitContext, FitSummary, NamedTensors, Result, SeenSkeletons, SkeletonBatch,
    SkeletonEncoder,
};
use szar_plugin_abi as abi;

use super::borrowed::encode;
use super::{Asked, Handle, LentWork, json};
use crate::export::LentSequences;

/// An encoder behind a table.
#[derive(Debug)]
pub struct ForeignEncoder {
    handle: Handle,
    table: &'static abi::Encoder,
    spec: EncoderSpec,
}

impl ForeignEncoder {
    /// Wraps an object of this table.
    ///
    /// # Errors
    /// When it does not say what it gives.
    pub fn new(handle: Handle, table: &'static abi::Encoder) -> Result<Self> {
        let answer = handle.must("spec", &Asked::default())?;
        let spec = handle.json("spec", &answer)?;
        Ok(Self { handle, table, spec })
    }
}

impl SkeletonEncoder for ForeignEncoder {
    fn spec(&self) -> EncoderSpec {
        self.spec
    }

    fn encode(&self, batch: &SkeletonBatch) -> Result<Encoding> {
        let who = &self.handle.who;
        // SAFETY: the handle holds a valid object of this table.
        let encoding = unsafe { encode(self.handle.object(), self.table, who, batch) }?;
        let (_, channels, frames, joints) = encoding.features.dims();
        let said = (self.spec.channels, self.spec.frames, self.spec.joints);
        if (channels, frames, joints) != said {
            let got = encoding.features.values.size();
            let why = format!(
                "gave features of shape {got:?}, its spec says [_, {}, {}, {}]",
                said.0, said.1, said.2
            );
            return Err(who.error("encode", why));
        }
        if self.spec.classifies && encoding.seen_logits.is_none() {
            return Err(who.error(
                "encode",
                "gave no tensor `logits`, its spec says that it classifies",
            ));
        }
        Ok(encoding)
    }

    fn fit(
        &mut self,
        train: &dyn SeenSkeletons,
        validation: &dyn SeenSkeletons,
        ctx: &mut FitContext,
    ) -> Result<FitSummary> {
        let text = json(&LentWork::described(ctx))?;
        let (train, validation) = (LentSequences::new(train)?, LentSequences::new(validation)?);
        let (train, validation) = (train.table(), validation.table());
        let work = LentWork::new(ctx);
        let table = work.table(Some(&train), Some(&validation));
        let asked = Asked {
            json: &text,
            work: Some(&table),
            ..Asked::default()
        };
        let answer = self.handle.must("fit", &asked)?;
        self.handle.can_be_saved()?;
        self.handle.json("fit", &answer)
    }

    fn state(&self) -> NamedTensors {
        self.handle.state().unwrap_or_else(|error| {
            tracing::error!(%error, "the state of this encoder cannot be saved");
            NamedTensors::new()
        })
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        self.handle.load_state(state)
    }
}
