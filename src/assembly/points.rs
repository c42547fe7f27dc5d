//! The distribution points: listeners that say the same of a point share it, and a reload keeps it.

use std::cell::RefCell;
use std::sync::Arc;

use super::{Assembler, Kept};
use crate::config::PointSettings;
use crate::identity::ListIssuers;
use crate::moment::Moment;
use crate::services::lists::{Point, PointSetup};

/// The points that a configuration has so far: listeners that say the same of a point share it.
#[derive(Default)]
pub(super) struct Points(RefCell<Vec<(PointSettings, Arc<Point>)>>);

impl Points {
    /// What the next reload may keep.
    pub(super) fn into_kept(self) -> Vec<(PointSettings, Arc<Point>)> {
        self.0.into_inner()
    }

    /// The first point that `is_it`, here or in the configuration in force.
    fn find(
        &self,
        before: Option<&Kept>,
        is_it: impl Fn(&PointSettings) -> bool,
    ) -> Option<Arc<Point>> {
        let point_of = |points: &[(PointSettings, Arc<Point>)]| {
            let (_, point) = points.iter().find(|(of, _)| is_it(of))?;
            Some(point.clone())
        };
        // Here first: two listeners of a new configuration share one point, or each would fetch the list.
        point_of(&self.0.borrow()).or_else(|| point_of(&before?.points))
    }

    fn add(&self, settings: PointSettings, point: &Arc<Point>) {
        self.0.borrow_mut().push((settings, point.clone()));
    }
}

impl Assembler<'_> {
    /// The point that the same settings made before, or a new one.
    pub(super) fn point(
        &self,
        settings: PointSettings,
        issuers: &Arc<ListIssuers>,
        points: &Points,
    ) -> Option<Arc<Point>> {
        if let Some(point) = points.find(self.before, |other| *other == settings) {
            points.add(settings, &point);
            return Some(point);
        }
        // Another pace or another directory is no reason to forget what is revoked.
        let has_same_lists = |other: &PointSettings| {
            other.endpoint.url == settings.endpoint.url && other.authorities == settings.authorities
        };
        let before = points.find(self.before, has_same_lists).map(|point| point.list().clone());
        let setup = PointSetup {
            url: settings.endpoint.url.clone(),
            service: self.service(&settings.endpoint)?,
            issuers: issuers.clone(),
            directory: settings.directory.clone(),
            refresh: settings.refresh,
            before,
        };
        let (point, unusable) = Point::new(setup, Moment::now());
        if let Some(unusable) = unusable {
            let text = format!("the kept list {unusable} is not used: it is fetched anew");
            self.mistakes.at(&settings.endpoint.at).warn(text);
        }
        let point = Arc::new(point);
        points.add(settings, &point);
        Some(point)
    }
}
