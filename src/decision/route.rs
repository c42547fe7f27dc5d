//! The route: which endpoint is meant, and what does its policy say?
//!
//! Takes method and canonical path; gives the [`Route`]. Refuses a path that no policy lists (404: it
//! does not exist, default deny), a method that the path does not have (405), and, on a listener
//! without client authentication, everything that is not open.
//!
//! Leaves to others: what the target's characters may be (`request::target`), how a policy file is
//! read (`config::policy`).

pub mod template;
pub mod access;
pub mod errors;
pub mod lifetime;
pub mod shadow;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::consent::Inquiry;
use crate::interaction::{self, InteractionRule};
use crate::moment::Moment;
use crate::parameters::{ParameterError, ParameterRules};
use crate::request::media::Media;
use crate::version::{FullVersion, VersionError};
pub use access::Access;
pub use errors::ErrorForm;
pub use lifetime::Lifetime;
pub use shadow::ShadowMode;
pub use template::{Template, TemplateError};

/// The regulator's priority class, which sets the legal p95 (OPIN non-functional requirements).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PriorityClass {
    /// p95 at most 1000 ms.
    High,
    /// p95 at most 1500 ms.
    Medium,
    /// p95 at most 4000 ms.
    Admin,
}

impl PriorityClass {
    /// Every class, the strictest first.
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Admin];

    /// The name in policies, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Admin => "admin",
        }
    }

    /// The legal p95, in milliseconds.
    pub fn target_ms(self) -> u64 {
        match self {
            Self::High => 1000,
            Self::Medium => 1500,
            Self::Admin => 4000,
        }
    }
}

/// One endpoint and its policy.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its place in the table: the index of its metrics.
    pub index: usize,
    /// What it is known by.
    pub published: Published,
    /// What a request must be.
    pub asks: Asks,
    /// What confines it.
    pub bounds: Bounds,
    /// What its answers are.
    pub answers: Answers,
    /// Who gets what is admitted.
    pub to: Destination,
}

/// What a route is known by.
#[derive(Clone, Debug)]
pub struct Published {
    /// The API, such as `insurance-auto`.
    pub api: Box<str>,
    /// The method.
    pub method: Method,
    /// The whole path template, base path included.
    pub template: Template,
    /// The template as text, for logs and metrics: never the raw path, which names policies.
    pub label: Box<str>,
    /// Its class.
    pub class: PriorityClass,
}

/// What a route asks of a request, beyond what every request is asked for.
#[derive(Clone, Debug)]
pub struct Asks {
    /// Of the caller.
    pub access: Access,
    /// Of the interaction id.
    pub interaction: InteractionRule,
    /// Whether an idempotency key is required.
    pub idempotency_key: bool,
    /// What a body is written in.
    pub media: Media,
    /// What its path and query may be.
    pub parameters: ParameterRules,
    /// What a caller's `x-v` and `x-min-v` are held against, if they are.
    pub negotiated: Option<FullVersion>,
    /// The parameter that names a consent.
    pub consent_parameter: Option<Box<str>>,
    /// How it asks for the consent that it is judged on.
    pub inquiry: Inquiry,
}

/// What confines a route: how much of a request, when, for whom.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Bytes of a body, if fewer than of every request.
    pub max_body: Option<u64>,
    /// From when and until when it exists, and when it is deprecated.
    pub lifetime: Lifetime,
    /// Until when its rules are not enforced, if they are not.
    pub shadow: ShadowMode,
    /// The position of the only listener that has it, if there is but one.
    pub listener: Option<usize>,
}

/// What a route's answers are.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The full version of the API (`x-v`).
    pub version: HeaderValue,
    /// The form of its errors.
    pub errors: ErrorForm,
    /// Whether an answer of 200 means that the token of the form was revoked (RFC 7009).
    pub revokes_tokens: bool,
}

/// Who gets a request that is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// An upstream, as an index into the configured ones.
    Upstream(usize),
    /// The gateway itself: an event of the consent registry. No backend sees it.
    Gateway,
}

impl Route {
    /// Requires that it answers with a version that the caller asks for.
    ///
    /// # Errors
    ///
    /// As [`FullVersion::serves`]; never, if no version is negotiated.
    pub fn serves(&self, headers: &HeaderMap) -> Result<(), VersionError> {
        self.asks.negotiated.map_or(Ok(()), |version| version.serves(headers))
    }

    /// Whether a request to it may change the consent that it names, wherever that is named.
    pub fn may_change_consent(&self) -> bool {
        match &self.asks.access {
            Access::Open | Access::Certificate | Access::Event => false,
            Access::Client { .. } => {
                self.asks.consent_parameter.is_some() && !self.published.method.is_safe()
            }
            Access::Consented { .. } => !self.published.method.is_safe(),
        }
    }
}

/// Why no route was found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RouteError {
    /// No policy lists the path, or not on this listener.
    #[error("no policy lists the path on this listener")]
    NotFound,
    /// Its first day is still to come.
    #[error("the route is not available yet")]
    NotYetAvailable,
    /// Its last day has passed.
    #[error("the route is retired")]
    Retired,
    /// The path exists with other methods.
    #[error("the path has other methods")]
    Method {
        /// The methods it has, for the Allow field.
        allow: HeaderValue,
        /// The form of the path's errors.
        errors: ErrorForm,
        /// The form of its interaction ids.
        form: interaction::Form,
    },
}

/// A route and what the path says of the consent.
pub struct FoundRoute<'a> {
    /// The route.
    pub route: &'a Arc<Route>,
    /// The decoded value of the route's consent parameter.
    pub consent_in_path: Option<Cow<'a, str>>,
    params: matchit::Params<'a, 'a>,
}

impl FoundRoute<'_> {
    /// Requires that the parts of the path and the query are what the route's specification publishes.
    ///
    /// # Errors
    ///
    /// As [`ParameterRules::check`].
    pub fn fits(&self, query: Option<&str>) -> Result<(), ParameterError> {
        self.route.asks.parameters.check(self.params.iter(), query)
    }
}

/// Says nothing of the consent.
impl fmt::Debug for FoundRoute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("route", &self.route.published.label).finish_non_exhaustive()
    }
}

/// Which routes a listener has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// All: the listener authenticates its clients.
    Mutual,
    /// Open routes only.
    Public,
}

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// Which routes the listener has.
    pub exposure: Exposure,
    /// Its position among the listeners.
    pub listener: usize,
}

impl Door {
    fn has(self, route: &Route) -> bool {
        match route.bounds.listener {
            // That of events has nothing of a participant's, so no other listener has it,
            // whatever it asks of clients.
            Some(listener) => listener == self.listener,
            None => self.exposure == Exposure::Mutual || route.asks.access.is_open(),
        }
    }
}

/// Why routes do not make a table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    /// Two routes share method and template.
    #[error("{method} {template} stands twice")]
    Repeated {
        /// The method.
        method: Method,
        /// The template.
        template: String,
    },
    /// Two templates overlap.
    #[error("{template} overlaps another template")]
    Overlap {
        /// The later one.
        template: String,
    },
}

/// All routes. Finding one does not depend on how many there are.
#[derive(Debug, Default)]
pub struct Routes {
    table: matchit::Router<Vec<Arc<Route>>>,
    all: Vec<Arc<Route>>,
    versions: Vec<(Box<str>, HeaderValue)>,
}

impl Routes {
    /// Builds the table. `versions` maps base paths to `x-v`, for answers about paths that no route
    /// has.
    ///
    /// # Errors
    ///
    /// [`TableError::Repeated`] for a method and template that stand twice, [`TableError::Overlap`] for
    /// templates that differ only in the names of parameters: mistakes of the policies. Others that overlap
    /// are taken, and [`Template::overlaps`] tells them.
    pub fn new(
        routes: Vec<Route>,
        versions: Vec<(Box<str>, HeaderValue)>,
    ) -> Result<Self, TableError> {
        let all: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
        // By walks over all: this is done once for a configuration.
        let mut groups: Vec<Vec<Arc<Route>>> = Vec::new();
        for route in &all {
            let same = |group: &&mut Vec<Arc<Route>>| {
                group
                    .first()
                    .is_some_and(|other| other.published.template == route.published.template)
            };
            match groups.iter_mut().find(same) {
                None => groups.push(vec![route.clone()]),
                Some(group)
                    if group
                        .iter()
                        .all(|other| other.published.method != route.published.method) =>
                {
                    group.push(route.clone());
                }
                Some(_) => {
                    let template = route.published.label.to_string();
                    return Err(TableError::Repeated {
                        method: route.published.method.clone(),
                        template,
                    });
                }
            }
        }
        let mut table = matchit::Router::new();
        for group in groups {
            let Some(template) = group.first().map(|route| route.published.label.to_string())
            else {
                continue;
            };
            let overlap = |_| TableError::Overlap { template: template.clone() };
            table.insert(template.clone(), group).map_err(overlap)?;
        }
        Ok(Self { table, all, versions })
    }

    /// Every route.
    pub fn all(&self) -> &[Arc<Route>] {
        &self.all
    }

    /// Finds the route of a request, in force or not. Other methods of its path are told only while they are.
    ///
    /// # Errors
    ///
    /// [`RouteError::NotFound`] or, with the methods that the path has at this door now,
    /// [`RouteError::Method`]. Both are refusals. Whether the route is in force is not judged here, but by
    /// [`Lifetime::check`].
    pub fn find<'a>(
        &'a self,
        method: &Method,
        path: &'a str,
        door: Door,
        now: Moment,
    ) -> Result<FoundRoute<'a>, RouteError> {
        let matched = self.table.at(path).map_err(|_| RouteError::NotFound)?;
        // Before the method: on another listener a path that it does not have is 404, never 405 (decision 3).
        let exposed = |route: &&Arc<Route>| door.has(route);
        // What may be read may be asked for its fields (RFC 9110 section 9.3.2).
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let Some(route) =
            matched.value.iter().filter(exposed).find(|r| r.published.method == *method)
        else {
            let in_force = |route: &&Arc<Route>| route.bounds.lifetime.check(now).is_ok();
            return Err(refuse_method(matched.value.iter().filter(exposed).filter(in_force)));
        };
        let mut consent_in_path = None;
        for (name, value) in matched.params.iter() {
            if route.asks.consent_parameter.as_deref() == Some(name) {
                let decoded = percent_decode_str(value).decode_utf8();
                // What is no UTF-8 is no id that anybody was given.
                consent_in_path = Some(decoded.map_err(|_| RouteError::NotFound)?);
            } else if value.contains("%2F") && !template::names_consent(name) {
                // Only a consent id, a URN, may contain a slash.
                return Err(RouteError::NotFound);
            }
        }
        Ok(FoundRoute { route, consent_in_path, params: matched.params })
    }

    /// The version of the API that a path belongs to, whether or not the path exists.
    pub fn version_of(&self, path: &str) -> Option<&HeaderValue> {
        self.versions
            .iter()
            .find(|(base, _)| {
                // To the end of a segment: `/v1` is no beginning of `/v10`.
                let rest = path.strip_prefix(&**base);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .map(|(_, version)| version)
    }
}

fn refuse_method<'a>(routes: impl Iterator<Item = &'a Arc<Route>>) -> RouteError {
    let routes: Vec<&Arc<Route>> = routes.collect();
    let mut methods: Vec<&str> = Vec::new();
    for route in &routes {
        methods.push(route.published.method.as_str());
        if route.published.method == Method::GET {
            // As `find` has it (decision 13).
            methods.push("HEAD");
        }
    }
    match (HeaderValue::from_str(&methods.join(", ")), routes.first()) {
        (Ok(allow), Some(first)) => RouteError::Method {
            allow,
            errors: first.answers.errors,
            form: first.asks.interaction.form,
        },
        // No method in force: then the path does not exist either.
        _ => RouteError::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interaction::{Form, Unusable};
    use crate::scope::Scope;

    fn route(index: usize, method: Method, path: &str, access: Access) -> Route {
        let template = Template::parse(path).unwrap();
        Route {
            index,
            published: Published {
                api: "api".into(),
                method,
                label: template.to_string().into(),
                template: template.clone(),
                class: PriorityClass::Medium,
            },
            asks: Asks {
                access,
                interaction: InteractionRule {
                    form: Form::Uuid,
                    missing: Unusable::Mint,
                    malformed: Unusable::Mint,
                    also: None,
                },
                idempotency_key: false,
                media: Media::Json,
                parameters: ParameterRules::default(),
                negotiated: None,
                consent_parameter: template.has_parameter("consentId").then(|| "consentId".into()),
                inquiry: Inquiry { kind: crate::scope::ConsentKind::Consent, stale_for: None },
            },
            bounds: Bounds {
                max_body: None,
                lifetime: Lifetime::default(),
                shadow: ShadowMode::default(),
                listener: None,
            },
            answers: Answers {
                version: HeaderValue::from_static("1.0.0"),
                errors: ErrorForm::Common,
                revokes_tokens: false,
            },
            to: Destination::Upstream(0),
        }
    }

    static NOW: std::sync::LazyLock<Moment> = std::sync::LazyLock::new(Moment::now);
    const MUTUAL: Door = Door { exposure: Exposure::Mutual, listener: 0 };
    const PUBLIC: Door = Door { exposure: Exposure::Public, listener: 1 };

    fn routes() -> Routes {
        let client = || Access::Client { scope: Scope::new("consents").unwrap() };
        let list = vec![
            route(0, Method::GET, "/c/v3/consents/{consentId}", client()),
            route(1, Method::DELETE, "/c/v3/consents/{consentId}", client()),
            route(2, Method::GET, "/i/{policyId}/claim", client()),
            route(3, Method::GET, "/open", Access::Open),
        ];
        Routes::new(list, vec![("/c/v3".into(), HeaderValue::from_static("3.0.0"))]).unwrap()
    }

    #[test]
    fn a_percent_encoded_consent_id_is_one_segment() {
        let routes = routes();
        let path = "/c/v3/consents/urn%3Aopin%3Aa%2Fb";
        let found = routes.find(&Method::DELETE, path, MUTUAL, *NOW).unwrap();
        assert_eq!(found.route.index, 1);
        assert_eq!(found.consent_in_path.as_deref(), Some("urn:opin:a/b"));
    }

    #[test]
    fn what_is_not_listed_does_not_exist() {
        let routes = routes();
        for path in [
            "/",
            "/c/v3/consents",
            "/c/v3/consents/",
            "/c/v3/consents/a/b",
            "/open/",
            "/i/a%2Fb/claim",
            "/OPEN",
        ] {
            let found = routes.find(&Method::GET, path, MUTUAL, *NOW);
            assert_eq!(found.unwrap_err(), RouteError::NotFound, "{path}");
        }
    }

    #[test]
    fn another_method_is_told_which_ones_there_are() {
        let routes = routes();
        let error = routes.find(&Method::PUT, "/c/v3/consents/a", MUTUAL, *NOW).unwrap_err();
        let allow = HeaderValue::from_static("GET, HEAD, DELETE");
        assert_eq!(
            error,
            RouteError::Method { allow, errors: ErrorForm::Common, form: Form::Uuid }
        );
    }

    #[test]
    fn a_public_listener_has_open_routes_only() {
        let routes = routes();
        assert!(routes.find(&Method::GET, "/open", PUBLIC, *NOW).is_ok());
        for method in [Method::GET, Method::PUT] {
            let found = routes.find(&method, "/c/v3/consents/a", PUBLIC, *NOW);
            assert_eq!(found.unwrap_err(), RouteError::NotFound, "{method}");
        }
    }

    #[test]
    fn a_route_of_one_listener_exists_on_no_other() {
        for listener in [0, 1] {
            let mut event = route(0, Method::POST, "/e", Access::Event);
            event.bounds.listener = Some(listener);
            let routes = Routes::new(vec![event], vec![]).unwrap();
            for door in [MUTUAL, PUBLIC] {
                let found = routes.find(&Method::POST, "/e", door, *NOW);
                assert_eq!(found.is_ok(), door.listener == listener);
                let wrong_method = routes.find(&Method::GET, "/e", door, *NOW).unwrap_err();
                assert_eq!(wrong_method == RouteError::NotFound, door.listener != listener);
            }
        }
    }

    #[test]
    fn the_version_of_an_api_is_known_for_paths_that_it_lacks() {
        let routes = routes();
        assert_eq!(routes.version_of("/c/v3/nothing").unwrap(), "3.0.0");
        assert!(routes.version_of("/c/v33/nothing").is_none());
    }

    #[test]
    fn a_route_that_stands_twice_is_refused() {
        let twice = || route(0, Method::GET, "/a", Access::Open);
        assert!(matches!(
            Routes::new(vec![twice(), twice()], vec![]),
            Err(TableError::Repeated { .. })
        ));
    }
}
