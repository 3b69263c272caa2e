//! git-sync
