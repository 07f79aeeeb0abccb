//! The adapters `skeleton-cache` and `none`, as a plugin.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_adapters::none::NoneConfig;
use szar_adapters::skeleton_cache::{Preset, SkeletonCacheConfig};
use szar_plugin::{
    AdapterConfig, BuildContext, ComponentInfo, ComponentKind, Problems, Result, TestTimeAdapter,
};

/// No options.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluggedCacheConfig {}

#[typetag::serde(name = "plugged-cache")]
impl AdapterConfig for PluggedCacheConfig {
    fn validate(&self, _: &mut Problems) {}

    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        let config = SkeletonCacheConfig {
            preset: Preset::None,
            ..SkeletonCacheConfig::default()
        };
        config.build(ctx)
    }
}

inventory::submit! {
    ComponentInfo::new::<PluggedCacheConfig>(ComponentKind::Adapter, "plugged-cache", "`skeleton-cache` in a plugin.", "")
}

/// No options.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluggedNothingConfig {}

#[typetag::serde(name = "plugged-nothing")]
impl AdapterConfig for PluggedNothingConfig {
    fn validate(&self, _: &mut Problems) {}

    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        NoneConfig::default().build(ctx)
    }
}

inventory::submit! {
    ComponentInfo::new::<PluggedNothingConfig>(ComponentKind::Adapter, "plugged-nothing", "Gives back what it gets.", "")
}

szar_plugin::export!();
