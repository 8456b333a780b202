//! Which tier a lesson's lab runs in: the cheapest that has all that the lesson needs. Pure.

use isolab_protocol::{MachineCapabilities, Tier, TierOffer};

/// A tier, and why that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The tier.
    pub tier: Tier,
    /// Why not a cheaper one, in a sentence; empty where there is none.
    pub why: String,
}

/// The cheapest tier for a lesson with these needs. Errors: there is none on this machine; why, and what to do, in sentences.
pub fn route(needs: &[String], machine: &MachineCapabilities) -> Result<Route, String> {
    let lacking = |offer: &TierOffer| {
        let missing = needs.iter().filter(|need| !offer.gives.contains(need));
        missing.map(String::as_str).collect::<Vec<_>>()
    };
    let mut why = String::new();
    for offer in &machine.tiers {
        let missing = lacking(offer);
        if !missing.is_empty() {
            why =
                format!("This lesson needs {}, which a {} does not have.", words(&missing), noun(offer.tier));
            continue;
        }
        return match &offer.lacks {
            None => Ok(Route { tier: offer.tier, why }),
            Some(lacks) => {
                let lacks = lacks.trim_end_matches('.');
                let mend = offer.mend.as_ref().map(|mend| format!(" To mend it: {mend}")).unwrap_or_default();
                let what = noun(offer.tier);
                Err(format!("{why} No {what} can be opened on this machine. {lacks}.{mend}")
                    .trim_start()
                    .into())
            }
        };
    }
    Err(format!("{why} This version has no other kind of lab.").trim_start().into())
}

/// What to call a lab of this tier in a sentence.
fn noun(tier: Tier) -> &'static str {
    match tier {
        Tier::Sandbox => "sandbox lab",
        Tier::Vm => "lab in a virtual machine",
    }
}

/// "a", "a and b", "a, b and c".
fn words(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(vm_lacks: Option<&str>) -> MachineCapabilities {
        let offer = |tier, gives: &[&str], lacks: Option<&str>| TierOffer {
            tier,
            gives: gives.iter().map(ToString::to_string).collect(),
            lacks: lacks.map(str::to_owned),
            mend: lacks.map(|_| "make vm".to_owned()),
        };
        MachineCapabilities {
            kernel: String::new(),
            capabilities: vec![],
            tiers: vec![
                offer(Tier::Sandbox, &["user-namespaces"], None),
                offer(Tier::Vm, &["user-namespaces", "apparmor", "cgroup-v2"], vm_lacks),
            ],
        }
    }

    fn routed(needs: &[&str], machine: &MachineCapabilities) -> Result<Route, String> {
        let needs: Vec<String> = needs.iter().map(ToString::to_string).collect();
        route(&needs, machine)
    }

    #[test]
    fn the_cheapest_tier_that_has_it_all_is_taken() {
        let plain = routed(&["user-namespaces"], &machine(None)).unwrap();
        assert_eq!(plain, Route { tier: Tier::Sandbox, why: String::new() });
        let armoured = routed(&["user-namespaces", "apparmor", "cgroup-v2"], &machine(None)).unwrap();
        assert_eq!(armoured.tier, Tier::Vm);
        assert_eq!(
            armoured.why,
            "This lesson needs apparmor and cgroup-v2, which a sandbox lab does not have."
        );
    }

    #[test]
    fn where_there_is_none_the_reason_and_the_remedy_are_told() {
        let no_qemu = routed(&["apparmor"], &machine(Some("vm: QEMU is not installed"))).unwrap_err();
        assert!(
            no_qemu.contains("needs apparmor")
                && no_qemu.contains("QEMU is not installed. To mend it: make vm")
        );
        let unheard_of = routed(&["warp"], &machine(None)).unwrap_err();
        assert!(unheard_of.contains("needs warp"), "{unheard_of}");
    }
}
