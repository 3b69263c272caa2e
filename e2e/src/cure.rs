//! What each scenario relies on, and can be run without, to show that it would fail.

use crate::scenarios::Scenario;

/// A part of the set-up that cures one scenario's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cure {
    /// The git server tells git-sync of a push, and the pusher what became of it
    Webhook,
    /// The repository has a schema that the documents are checked by
    Schema,
    /// Everybody knows both config-servers
    SecondServer,
    /// git-sync goes on trying when the config-servers cannot store
    Retries,
    /// git-sync looks at the repository without being told
    Poll,
    /// The second provider is another vendor
    SecondVendor,
    /// Who comes second rebases, and nobody pushes by force
    Rebase,
}

impl Cure {
    /// The scenario that fails without it.
    pub(crate) fn scenario(self) -> Scenario {
        match self {
            Self::Webhook => Scenario::PushMovesTheTraffic,
            Self::Schema => Scenario::BadPushMovesNothing,
            Self::SecondServer => Scenario::ConfigServerKilled,
            Self::Retries => Scenario::PostgresStopped,
            Self::Poll => Scenario::NetworkCut,
            Self::SecondVendor => Scenario::VendorDown,
            Self::Rebase => Scenario::TwoPushesAtOnce,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_scenario_has_one_cure() {
        let cured: Vec<_> = Cure::value_variants()
            .iter()
            .map(|cure| cure.scenario())
            .collect();
        assert_eq!(cured, Scenario::value_variants());
    }
}
