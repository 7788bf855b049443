//! Whether backends got more or fewer new connections than their shares by more than chance.
//!
//! Where the hashes of connections are independent of one another, each new one falls to a backend with the share of
//! the slots that the backend owns: the counts are multinomial. The whole is tested by Pearson's chi-square
//! goodness-of-fit test, each backend by the normal approximation to its binomial count, two-sided, with Holm's
//! correction for there being several (Holm 1979, "A simple sequentially rejective multiple test procedure").

use statrs::function::{erf::erfc, gamma::gamma_ur};

/// A p-value below it is called more than chance.
pub const SIGNIFICANT: f64 = 0.01;

/// Fewer than that many expected, and both approximations are no good (Cochran 1954).
pub const LEAST_EXPECTED: f64 = 5.0;

/// What the tests say of counts beside shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Chance {
    /// How many were counted of those that have a share.
    pub counted: u64,
    /// The test of the whole; `None` with fewer than two shares, or where too few are expected of one.
    pub fit: Option<Fit>,
    /// Each count for itself, in their order; `None` where it has no share, or too few are expected.
    pub deviations: Vec<Option<Deviation>>,
}

/// Pearson's chi-square goodness-of-fit test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The sum of (observed − expected)² / expected.
    pub statistic: f64,
    /// The number of shares less one.
    pub degrees_of_freedom: u32,
    /// How often chance alone gives a statistic as large.
    pub p: f64,
}

/// How far one count is from what its share calls for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deviation {
    /// What its share calls for.
    pub expected: f64,
    /// By how many standard deviations there are more; fewer where it is negative.
    pub z: f64,
    /// How often chance alone has one of all these counts as far off: two-sided, after Holm's correction.
    pub p: f64,
}

impl Chance {
    /// Tests what was counted against shares, which add up to 1. A count without a share takes no part.
    #[must_use]
    pub fn of(counts: &[u64], shares: &[f64]) -> Self {
        let cells: Vec<(u64, f64)> = counts.iter().copied().zip(shares.iter().copied()).collect();
        let with_share = || cells.iter().filter(|(_, share)| *share > 0.0);
        let counted: u64 = with_share().map(|(count, _)| count).sum();
        let total = float(counted);
        let degrees_of_freedom = u32::try_from(with_share().count().saturating_sub(1)).unwrap_or(u32::MAX);
        let enough = degrees_of_freedom > 0 && with_share().all(|(_, share)| total * share >= LEAST_EXPECTED);
        let fit = enough.then(|| {
            let term =
                |&(count, share): &(u64, f64)| (float(count) - total * share).powi(2) / (total * share);
            let statistic = with_share().map(term).sum();
            Fit { statistic, degrees_of_freedom, p: upper_tail(statistic, degrees_of_freedom) }
        });
        let mut deviations: Vec<Option<Deviation>> =
            cells.iter().map(|&(count, share)| deviation(count, share, total)).collect();
        correct(&mut deviations);
        Self { counted, fit, deviations }
    }
}

impl Fit {
    /// Whether it is more than chance.
    #[must_use]
    pub fn is_more_than_chance(&self) -> bool {
        self.p < SIGNIFICANT
    }
}

impl Deviation {
    /// Whether it is more than chance.
    #[must_use]
    pub fn is_more_than_chance(&self) -> bool {
        self.p < SIGNIFICANT
    }
}

/// How often a chi-square variable is that large or larger.
fn upper_tail(statistic: f64, degrees_of_freedom: u32) -> f64 {
    // The regularised gamma function has no value there.
    if statistic <= 0.0 { 1.0 } else { gamma_ur(f64::from(degrees_of_freedom) / 2.0, statistic / 2.0) }
}

fn deviation(count: u64, share: f64, total: f64) -> Option<Deviation> {
    let expected = total * share;
    if expected < LEAST_EXPECTED || total - expected < LEAST_EXPECTED {
        return None;
    }
    let z = (float(count) - expected) / (expected * (1.0 - share)).sqrt();
    Some(Deviation { expected, z, p: erfc(z.abs() / std::f64::consts::SQRT_2) })
}

/// Holm's correction: the smallest p counts as many times as there are tests, the next one once less, and none less
/// than the one before it.
fn correct(deviations: &mut [Option<Deviation>]) {
    let mut tested: Vec<&mut Deviation> = deviations.iter_mut().flatten().collect();
    tested.sort_by(|one, other| one.p.total_cmp(&other.p));
    let mut before = 0.0_f64;
    for (left, deviation) in (1..=tested.len() as u64).rev().zip(tested) {
        before = before.max(float(left) * deviation.p).min(1.0);
        deviation.p = before;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a part in 2^52 is no deviation")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(found: f64, known: f64) {
        assert!((found - known).abs() <= 1e-9 * known.abs().max(1e-6), "{found} is not {known}");
    }

    /// Known values are mpmath's with 30 digits: `gammainc(df/2, x/2, inf, regularized=True)`, `erfc(abs(z)/sqrt(2))`,
    /// and Holm's multiples of these worked out by hand.
    #[track_caller]
    fn check(counts: &[u64], shares: &[f64], fit: [f64; 2], deviations: &[[f64; 2]]) {
        let chance = Chance::of(counts, shares);
        let found = chance.fit.unwrap();
        near(found.statistic, fit[0]);
        near(found.p, fit[1]);
        for (found, known) in chance.deviations.iter().zip(deviations) {
            let found = found.unwrap();
            near(found.z, known[0]);
            near(found.p, known[1]);
        }
        assert_eq!(chance.deviations.len(), deviations.len());
    }

    #[test]
    fn counts_near_their_shares_are_chance() {
        let off = 0.790_569_415_042_094_8;
        let deviations = [[off, 1.0], [-off, 1.0], [off / 2.0, 1.0], [-off / 2.0, 1.0], [0.0, 1.0]];
        check(&[210, 190, 205, 195, 200], &[0.2; 5], [1.25, 0.869_799_821_343_359_1], &deviations);
    }

    #[test]
    fn one_that_gets_half_as_much_again_is_more_than_chance() {
        let counts = [300, 170, 180, 170, 180];
        let (seven, two, one) = (7.905_694_150_420_948, -2.371_708_245_126_284, -1.581_138_830_084_19);
        let (second, fourth) = (4.0 * 0.017_706_065_807_366_62, 2.0 * 0.113_846_298_006_658_1);
        let deviations = [
            [seven, 5.0 * 2.664_446_389_235_929e-15],
            [two, second],
            [one, fourth],
            [two, second],
            [one, fourth],
        ];
        check(&counts, &[0.2; 5], [63.0, 6.785_895_712_849_284e-13], &deviations);
        let chance = Chance::of(&counts, &[0.2; 5]);
        let told: Vec<bool> =
            chance.deviations.iter().flatten().map(Deviation::is_more_than_chance).collect();
        assert_eq!(told, [true, false, false, false, false]);
        assert!(chance.fit.unwrap().is_more_than_chance());
    }

    #[test]
    fn shares_need_not_be_alike() {
        let p = 0.071_732_657_993_716_27;
        let z = 1.800_811_104_730_486;
        let shares = [126.0 / 251.0, 125.0 / 251.0];
        // Of two counts one is far off as the other is: Holm's correction doubles the first alone, and the order holds.
        check(&[1300, 1200], &shares, [3.242_920_634_920_635, p], &[[z, 2.0 * p], [-z, 2.0 * p]]);
        let deviations = [
            [2.449_489_742_783_178, 3.0 * 0.014_305_878_435_429_64],
            [-0.5, 0.617_075_077_451_973_8],
            [-2.041_241_452_319_315, 2.0 * 0.041_226_833_337_163_69],
        ];
        check(&[1060, 490, 950], &[0.4, 0.2, 0.4], [6.3, 0.042_852_126_867_040_18], &deviations);
    }

    #[test]
    fn who_has_no_share_takes_no_part() {
        let chance = Chance::of(&[60, 7, 40], &[0.5, 0.0, 0.5]);
        assert_eq!(chance.counted, 100);
        assert_eq!(chance.fit.unwrap().degrees_of_freedom, 1);
        near(chance.fit.unwrap().statistic, 4.0);
        assert_eq!(chance.deviations[1], None);
    }

    #[test]
    fn of_too_few_nothing_is_said() {
        assert_eq!(Chance::of(&[4, 5], &[0.5, 0.5]).fit, None);
        assert_eq!(Chance::of(&[4, 5], &[0.5, 0.5]).deviations, [None, None]);
        assert_eq!(Chance::of(&[5, 5], &[0.5, 0.5]).fit.map(|fit| fit.p), Some(1.0));
        // Enough are expected of the first and the second, not of the third.
        let chance = Chance::of(&[50, 46, 4], &[0.5, 0.46, 0.04]);
        assert_eq!((chance.fit, chance.deviations[2]), (None, None));
        assert!(chance.deviations[0].is_some());
        assert_eq!(Chance::of(&[100], &[1.0]).fit, None, "one that gets everything is no question");
        assert_eq!(Chance::of(&[], &[]).counted, 0);
    }
}
