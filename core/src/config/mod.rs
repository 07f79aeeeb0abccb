//! Configuration: from YAML text and overrides to checked components.
