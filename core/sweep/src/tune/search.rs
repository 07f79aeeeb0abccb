//! Which points of the space are tried next.

use indexmap::IndexMap;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use szar_core::{Error, Result, Seed};
use tpe::{TpeOptimizer, categorical_range, histogram_estimator, parzen_estimator};

use super::Trial;
use super::options::{Method, Tuning};
use super::space::Domain;

type Point = IndexMap<String, Value>;

/// A search under way.
pub(super) struct Search<'a> {
    options: &'a Tuning,
    rng: ChaCha8Rng,
    estimators: Vec<TpeOptimizer>,
    /// Places between 0 and 1, or numbers of choices, of the points that were asked last.
    asked: Vec<Vec<f64>>,
    left: usize,
}

impl<'a> Search<'a> {
    pub fn new(options: &'a Tuning) -> Result<Self> {
        let (seed, left) = match options.search {
            Method::Grid {} => (0, 1),
            Method::Random { trials, seed } | Method::Tpe { trials, seed, .. } => (seed, trials),
        };
        let estimator = |domain: &Domain| -> Result<TpeOptimizer> {
            let bad = |e: &dyn std::fmt::Display| Error::Input(format!("search: {e}"));
            Ok(match domain.count() {
                Some(n) => {
                    TpeOptimizer::new(histogram_estimator(), categorical_range(n).map_err(|e| bad(&e))?)
                }
                // The end is excluded there.
                None => TpeOptimizer::new(
                    parzen_estimator(),
                    tpe::range(0.0, 1.0 + 1e-9).map_err(|e| bad(&e))?,
                ),
            })
        };
        Ok(Self {
            options,
            rng: Seed(seed).derive("tune", 0).rng(),
            estimators: options.space.values().map(estimator).collect::<Result<_>>()?,
            asked: Vec::new(),
            left,
        })
    }

    /// The next points; `None` when the search is over.
    pub fn ask(&mut self, tried: &[Trial]) -> Result<Option<Vec<Point>>> {
        if self.left == 0 {
            return Ok(None);
        }
        let count = match self.options.search {
            Method::Grid {} => {
                self.left = 0;
                return Ok(Some(self.grid()));
            }
            Method::Random { .. } => self.left,
            // The trial of the pipeline as it stands is none of its own.
            Method::Tpe { first, .. } if tried.len() <= 1 => first.min(self.left),
            Method::Tpe { together, .. } => together.min(self.left),
        };
        self.left -= count;
        let estimate = matches!(self.options.search, Method::Tpe { .. }) && tried.len() > 1;
        self.asked = (0..count).map(|_| self.draw(estimate)).collect::<Result<_>>()?;
        Ok(Some(self.asked.iter().map(|places| self.point(places)).collect()))
    }

    /// What came of the points that were asked last.
    pub fn tell(&mut self, measured: &[Trial], more_is_better: bool) -> Result<()> {
        let sign = if more_is_better { -1.0 } else { 1.0 };
        for (places, trial) in self.asked.iter().zip(measured) {
            // A point that fails is as bad as anything.
            let loss = trial.score().map_or(f64::MAX, |s| sign * s.mean);
            for (estimator, place) in self.estimators.iter_mut().zip(places) {
                estimator
                    .tell(*place, loss)
                    .map_err(|e| Error::Input(format!("search: {e}")))?;
            }
        }
        Ok(())
    }

    fn draw(&mut self, estimate: bool) -> Result<Vec<f64>> {
        use rand::RngExt;
        let domains = self.options.space.values();
        let mut places = Vec::with_capacity(self.estimators.len());
        for (estimator, domain) in self.estimators.iter_mut().zip(domains) {
            let place = match (estimate, domain.count()) {
                (true, _) => estimator
                    .ask(&mut self.rng)
                    .map_err(|e| Error::Input(format!("search: {e}")))?,
                (false, Some(n)) => self.rng.random_range(0..n) as f64,
                (false, None) => self.rng.random_range(0.0..=1.0),
            };
            places.push(place);
        }
        Ok(places)
    }

    fn point(&self, places: &[f64]) -> Point {
        let value = |((field, domain), place): ((&String, &Domain), &f64)| {
            let place = match domain.count() {
                Some(n) => (place.floor() + 0.5) / n as f64,
                None => *place,
            };
            (field.clone(), domain.at(place))
        };
        self.options.space.iter().zip(places).map(value).collect()
    }

    fn grid(&self) -> Vec<Point> {
        let start = vec![Point::new()];
        self.options.space.iter().fold(start, |points, (field, domain)| {
            let with = |point: &Point, value: Value| {
                let mut point = point.clone();
                point.insert(field.clone(), value);
                point
            };
            let all = |point: &Point| {
                domain
                    .points()
                    .into_iter()
                    .map(|v| with(point, v))
                    .collect::<Vec<_>>()
            };
            points.iter().flat_map(all).collect()
        })
    }
}
