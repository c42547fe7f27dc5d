//! Who sends a request, with which token and under which consent, as far as one of two rules can tell.

use super::parameters::Values;
use super::{Dimension, Variation};
use crate::consent::{ConsentKind, ConsentUse};
use crate::review::trial::{Credential, Probe, only};
use crate::route::{Access, Route};

/// Of two rules of one route.
pub(super) struct Callers<'a> {
    pub(super) both: [&'a Route; 2],
}

/// What a request has that brings exactly what a rule asks for.
pub(super) fn credential(access: &Access) -> Credential {
    match access {
        Access::Open => Credential::Nothing,
        Access::Certificate | Access::Event => Credential::Certificate,
        Access::Client { scope } => Credential::Own { scopes: vec![scope.as_str().to_owned()] },
        Access::Consented { scope, permission, .. } => Credential::Customers {
            scopes: vec![scope.as_str().to_owned()],
            permissions: vec![permission.as_str().to_owned()],
        },
    }
}

/// What a rule asks of who calls, in words.
pub(in crate::review) fn describe(access: &Access) -> String {
    match access {
        Access::Open => "anyone's".to_owned(),
        Access::Certificate => "a participant's, by its certificate".to_owned(),
        Access::Event => "the consent registry's, by its signature".to_owned(),
        Access::Client { scope } => {
            format!("a participant's own, with scope {}", scope.as_str())
        }
        Access::Consented { scope, permission, to: _ } => format!(
            "for a customer, with scope {} and permission {}",
            scope.as_str(),
            permission.as_str()
        ),
    }
}

fn scope(access: &Access) -> Option<&str> {
    match access {
        Access::Open | Access::Certificate | Access::Event => None,
        Access::Client { scope } | Access::Consented { scope, .. } => Some(scope.as_str()),
    }
}

fn permission(access: &Access) -> Option<&str> {
    match access {
        Access::Open | Access::Certificate | Access::Event | Access::Client { .. } => None,
        Access::Consented { permission, .. } => Some(permission.as_str()),
    }
}

/// Each of these, both, neither.
fn subsets([before, after]: [Option<&str>; 2]) -> Vec<Vec<String>> {
    let words = |words: &[Option<&str>]| -> Vec<String> {
        let mut all: Vec<String> = words.iter().flatten().map(|word| (*word).to_owned()).collect();
        all.dedup();
        all
    };
    vec![words(&[before, after]), words(&[before]), words(&[after]), Vec::new()]
}

fn of(credential: Credential) -> impl Fn(&mut Probe) + 'static {
    move |probe| probe.credential = credential.clone()
}

/// Of no scope that a rule asks for.
fn stranger() -> Vec<String> {
    vec!["portaria-no-such-scope".to_owned()]
}

impl Callers<'_> {
    fn accesses(&self) -> [&Access; 2] {
        self.both.map(|route| &route.asks.access)
    }

    /// All the scopes and permissions of both.
    fn all(&self) -> (Vec<String>, Vec<String>) {
        let all = |words| subsets(words).into_iter().next().unwrap_or_default();
        (all(self.accesses().map(scope)), all(self.accesses().map(permission)))
    }

    /// The permissions that the rules ask for.
    pub(super) fn permissions(&self) -> Vec<String> {
        self.all().1
    }

    /// What a request has that brings what both rules ask for, if one can.
    fn united(&self) -> Option<Credential> {
        let (scopes, permissions) = self.all();
        match self.accesses() {
            [Access::Client { .. }, Access::Client { .. }] => Some(Credential::Own { scopes }),
            [Access::Consented { .. }, Access::Consented { .. }] => {
                Some(Credential::Customers { scopes, permissions })
            }
            _ => None,
        }
    }

    /// What the rules ask for, as somebody has it who is meant by one of them.
    pub(super) fn credentials(&self) -> Dimension {
        let mut variations: Vec<Variation> =
            self.united().into_iter().map(|c| Variation::silent(of(c))).collect();
        let mut told: Vec<String> = Vec::new();
        for access in self.accesses() {
            let label = describe(access);
            if !told.contains(&label) {
                let variation = Variation::told(label.as_str(), of(credential(access)));
                variations.push(Variation { held: Some(access.clone()), ..variation });
                told.push(label);
            }
        }
        // In shadow mode these go on.
        variations.push(Variation::silent(of(Credential::Own { scopes: stranger() })));
        let nothing = Credential::Customers { scopes: stranger(), permissions: Vec::new() };
        variations.push(Variation::silent(of(nothing)));
        Dimension::all(self.token_question(), variations)
    }

    fn token_question(&self) -> &'static str {
        let [before, _] = self.accesses();
        if scope(before).is_some() { "what the token was" } else { "whether there was a token" }
    }

    /// What somebody may have presented: certificate, token, and its scope.
    pub(super) fn presented(&self) -> Vec<Dimension> {
        let (scopes, permissions) = self.all();
        let presented = vec![
            Variation::silent(of(Credential::Nothing)),
            Variation::silent(of(Credential::Nameless)).any_fault(),
            Variation::silent(of(Credential::Certificate)),
            Variation::silent(of(Credential::Unbound)).any_fault(),
            Variation::silent(of(Credential::Own { scopes: scopes.clone() })),
            Variation::silent(of(Credential::Customers { scopes, permissions })),
        ];
        let with_scopes = |words: Vec<String>| {
            Variation::silent(move |probe| match &mut probe.credential {
                Credential::Own { scopes } | Credential::Customers { scopes, .. } => {
                    scopes.clone_from(&words);
                }
                _ => {}
            })
        };
        let words = self.accesses().map(scope);
        let [_, after] = words;
        let question = format!("whether the token has scope {}", after.unwrap_or_default());
        vec![
            Dimension::all(self.token_question(), presented),
            Dimension::all(question, subsets(words).into_iter().map(with_scopes).collect()),
        ]
    }

    /// Whether the rules look at a consent, and whether at a customer's.
    fn look_at(&self) -> [Option<bool>; 2] {
        self.both.map(|route| match route.asks.access {
            Access::Consented { .. } => Some(true),
            Access::Client { .. } => Some(false),
            Access::Open | Access::Certificate | Access::Event => None,
        })
    }

    /// What the consent is, for rules that ask one of the same kind of token. Those of others are told apart by that.
    pub(super) fn consents(&self, values: &Values) -> Vec<Dimension> {
        let is_customers = match self.look_at() {
            [Some(before), Some(after)] if before == after => before,
            _ => return Vec::new(),
        };
        let mut dimensions = self.of_consent(is_customers, values);
        if is_customers {
            let rejected = |probe: &mut Probe| probe.status = Some("REJECTED");
            let told = Variation::told("under a consent that is REJECTED", rejected);
            let variations = vec![Variation::none(), told];
            dimensions.push(Dimension::all("what the consent was", variations));
        }
        dimensions
    }

    /// What the consent may have been, whatever the rules ask for.
    pub(super) fn registered(&self, values: &Values) -> Vec<Dimension> {
        let looks = self.look_at();
        if looks == [None, None] {
            return Vec::new();
        }
        let is_customers = looks.contains(&Some(true));
        let mut dimensions = self.of_consent(is_customers, values);
        // Nobody's token names nothing, and the registry may know it as anything.
        if let Some(kinds) = dimensions.first_mut().filter(|_| is_customers) {
            kinds.variations.push(Variation::silent(|probe| probe.kinds = &[]));
        }
        let judged_as = self.judged_as();
        let faulty = |change: fn(&mut Probe)| {
            Variation::silent(move |probe| {
                change(probe);
                probe.judged_as = judged_as;
            })
        };
        let states = vec![
            Variation::none(),
            faulty(|probe| probe.status = Some("REJECTED")),
            faulty(|probe| probe.is_own = false),
            faulty(|probe| probe.status = None).any_fault(),
        ];
        dimensions.push(Dimension::all("what the consent was", states));
        let with_permissions = |words: Vec<String>| {
            Variation::silent(move |probe| {
                if let Credential::Customers { permissions, .. } = &mut probe.credential {
                    permissions.clone_from(&words);
                }
                probe.judged_as = judged_as;
            })
        };
        let words = self.accesses().map(permission);
        let [_, after] = words;
        let question = format!("whether the consent has permission {}", after.unwrap_or_default());
        let variations = subsets(words).into_iter().map(with_permissions).collect();
        dimensions.push(Dimension::all(question, variations));
        dimensions
    }

    /// As what a consent is judged that the log tells of: where the rules look at consents of two kinds, what is known
    /// of the one says nothing of the other.
    fn judged_as(&self) -> &'static [ConsentKind] {
        let [before, after] = self.both.map(|route| route.asks.inquiry.kind);
        if before == after { Probe::KINDS } else { only(before) }
    }

    fn of_consent(&self, is_customers: bool, values: &Values) -> Vec<Dimension> {
        let who = if is_customers { "a token" } else { "a path" };
        let kind = |name: &str, other: &str, kinds: &'static [ConsentKind]| {
            let label = format!("with {who} that names {name} and no {other}");
            Variation::told(label, move |probe| probe.kinds = kinds)
        };
        let kinds = vec![
            Variation::none(),
            kind("a consent", "enrollment", only(ConsentKind::Consent)),
            kind("an enrollment", "consent", only(ConsentKind::Enrollment)),
        ];
        let [_, after] = self.both.map(|route| route.asks.inquiry.kind);
        let wanted = match after {
            ConsentKind::Consent => "a consent",
            ConsentKind::Enrollment => "an enrollment",
        };
        let mut dimensions = vec![
            Dimension::all(format!("whether {wanted} was named"), kinds),
            Dimension::one("whose consent the path names", values.foreign()),
        ];
        let initiates =
            |access: &Access| matches!(access, Access::Consented { to: ConsentUse::Initiate, .. });
        if self.accesses().into_iter().any(initiates) {
            let again = "under the same consent again, after an answer of 201";
            let again = Variation::told(again, |probe| probe.is_created = true);
            let question = "what was done under the consent before";
            dimensions.push(Dimension::all(question, vec![Variation::none(), again]));
        }
        dimensions
    }
}
