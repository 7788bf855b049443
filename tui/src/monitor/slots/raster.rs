//! What the pixels of a window show. It is worked out when something changes, and only read when it is drawn.

use std::time::Duration;

use maglev_core::sample::{BackendId, Slots};

use super::{history::SlotHistory, window::Window};
use crate::terminal::theme::LEVELS;

/// How far a value may lie off the middle of its level before the level changes: half a level would have pixels at an
/// edge flicker, and each flicker is traffic.
const HOLD: f32 = 0.9;
/// The lowest level above none begins at this part of the top, or at half a hit a second where that is less: a few hot
/// slots must not leave all others in one level.
const FLOOR: f32 = 1.0 / 512.0;
/// Up to these many seconds after a change a pixel has the levels from the top down; later the one above none.
const AGES: [f32; LEVELS - 2] = [1.5, 3.0, 5.0, 10.0, 20.0, 40.0, 90.0, 180.0, 600.0, 1800.0];

/// A pixel of the heatmap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pixel {
    /// Whether there is a slot at all.
    pub there: bool,
    /// Who owns most of its slots.
    pub owner: BackendId,
    /// Whether at least a third of them are settling: that is where an owner had most of them and lost them.
    pub settling: bool,
    /// How often the most hit one is hit.
    pub heat: u8,
    /// How long ago a third of them, the latest ones, changed.
    pub age: u8,
    /// Who owns most of those that had another owner at the moment that is compared with, and whether they are at least a
    /// third of them; `None` where none had.
    pub moved: Option<(BackendId, bool)>,
}

/// What levels of heat stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scale {
    /// Hits a second at the top of the highest level.
    pub top: f32,
}

impl Scale {
    /// The scale for rates up to `most`: the same as before as long as that is not far off.
    #[must_use]
    pub fn following(self, most: f32) -> Self {
        if most <= self.top && most * 5.0 >= self.top {
            return self;
        }
        if most <= 0.0 {
            return Self::default();
        }
        // 1, 2 or 5 times a power of ten: a number for the legend, and the same one for a while.
        let power = 10_f32.powf(most.log10().floor());
        let top = [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|top| *top >= most);
        Self { top: top.unwrap_or(most) }
    }

    fn floor(self) -> f32 {
        FLOOR.min(0.5 / self.top)
    }

    /// Where a rate lies among the levels, with fractions; below 1 is none.
    fn position(self, rate: f32) -> f32 {
        if rate <= 0.0 || self.top <= 0.0 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a dozen")]
        let levels = (LEVELS - 1) as f32;
        let share = 1.0 - (rate / self.top).ln() / self.floor().ln();
        1.0 + (share * levels).clamp(0.0, levels - 0.001)
    }

    /// The rate at which a level begins.
    #[must_use]
    pub fn begins(self, level: u8) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "a dozen")]
        let share = f32::from(level.saturating_sub(1)) / (LEVELS - 1) as f32;
        self.top * self.floor().powf(1.0 - share)
    }

    /// The level of a rate; the one it had before where it is close.
    fn level(self, rate: f32, before: Option<u8>) -> u8 {
        let position = self.position(rate);
        let quiet = position < 1.0;
        if let Some(before) = before
            && (before == 0) == quiet
            && (position - (f32::from(before) + 0.5)).abs() <= HOLD
        {
            return before;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to the last level"
        )]
        let level = position as u8;
        level
    }
}

/// The level for a time since a change.
#[must_use]
pub fn age_level(since: Duration) -> u8 {
    let seconds = since.as_secs_f32();
    let older = AGES.iter().filter(|limit| seconds >= **limit).count();
    u8::try_from(LEVELS - 1 - older).unwrap_or(1)
}

/// The pixels of a window.
#[derive(Clone, Debug, Default)]
pub struct Raster {
    /// What they show.
    pub window: Window,
    /// What levels of heat stand for.
    pub scale: Scale,
    pixels: Vec<Pixel>,
}

impl Raster {
    /// The pixel at a place; one that shows nothing where there is none.
    #[must_use]
    pub fn pixel(&self, column: u32, row: u32) -> Pixel {
        if column >= self.window.columns {
            return Pixel::default();
        }
        let index = u64::from(row) * u64::from(self.window.columns) + u64::from(column);
        usize::try_from(index).ok().and_then(|index| self.pixels.get(index)).copied().unwrap_or_default()
    }

    /// Works out all pixels of `window`; `moved` says slot by slot which had another owner at another moment.
    pub fn update(
        &mut self,
        window: Window,
        slots: &Slots,
        history: Option<&SlotHistory>,
        moved: Option<&[bool]>,
        now: Duration,
    ) {
        let rates = history.map_or(&[][..], SlotHistory::rates);
        let scale = self.scale.following(rates.iter().copied().fold(0.0, f32::max));
        // Levels are held only where the picture is the same one.
        let held = window == self.window && scale == self.scale;
        let before = std::mem::take(&mut self.pixels);
        let (mut owners, mut ages, mut new_owners) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..window.rows {
            for column in 0..window.columns {
                let range = window.slots_of(column, row);
                let range = range.start as usize..(range.end as usize).min(slots.len());
                let index = self.pixels.len();
                if range.is_empty() {
                    self.pixels.push(Pixel::default());
                    continue;
                }
                let previous = &slots.previous[range.clone()];
                let settling = previous.iter().filter(|previous| !previous.is_none()).count();
                let rate = rates.get(range.clone()).unwrap_or_default().iter().copied().fold(0.0, f32::max);
                ages.clear();
                if let Some(history) = history {
                    ages.extend(range.clone().filter_map(|slot| history.since_change(slot, now)));
                }
                ages.sort_unstable();
                let third = range.len().div_ceil(3);
                let since = ages.get(third - 1);
                new_owners.clear();
                if let Some(moved) = moved.and_then(|moved| moved.get(range.clone())) {
                    let both = slots.owner[range.clone()].iter().zip(moved);
                    new_owners.extend(both.filter(|(_, moved)| **moved).map(|(owner, _)| *owner));
                }
                self.pixels.push(Pixel {
                    there: true,
                    owner: most(&slots.owner[range.clone()], &mut owners),
                    settling: settling >= third,
                    heat: scale.level(rate, before.get(index).filter(|_| held).map(|pixel| pixel.heat)),
                    age: since.map_or(0, |since| age_level(*since)),
                    moved: (!new_owners.is_empty())
                        .then(|| (most(&new_owners, &mut owners), new_owners.len() >= third)),
                });
            }
        }
        (self.window, self.scale) = (window, scale);
    }
}

/// Who owns most of these slots; the first of those who own as many.
fn most(owners: &[BackendId], counts: &mut Vec<(BackendId, u32)>) -> BackendId {
    counts.clear();
    for owner in owners {
        match counts.iter_mut().find(|(other, _)| other == owner) {
            Some((_, count)) => *count += 1,
            None => counts.push((*owner, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max();
    counts.iter().find(|(_, count)| Some(*count) == most).map_or(BackendId::NONE, |(owner, _)| *owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_stays_until_it_is_far_off() {
        let scale = Scale::default().following(730.0);
        assert_eq!(scale, Scale { top: 1000.0 });
        assert_eq!(scale.following(990.0), scale);
        assert_eq!(scale.following(210.0), scale);
        assert_eq!(scale.following(1100.0), Scale { top: 2000.0 });
        assert_eq!(scale.following(150.0), Scale { top: 200.0 });
        assert_eq!(scale.following(0.0), Scale::default());
    }

    #[test]
    fn levels_are_held_at_their_edges() {
        let scale = Scale { top: 1000.0 };
        assert_eq!(scale.level(0.0, None), 0);
        assert_eq!(scale.level(0.01, None), 1);
        assert_eq!(scale.level(1000.0, None), 11);
        let edge = scale.begins(7);
        assert_eq!(scale.level(edge * 1.01, None), 7);
        assert_eq!(scale.level(edge * 0.99, Some(7)), 7);
        assert_eq!(scale.level(edge * 1.01, Some(6)), 6);
        assert_eq!(scale.level(edge * 2.5, Some(6)), 8);
        assert_eq!(scale.level(0.0, Some(1)), 0, "none is none");
        assert_eq!(scale.level(0.4, Some(0)), 1);
    }

    #[test]
    fn changes_flash_and_fade() {
        let levels = [0.0, 2.0, 4.0, 30.0, 3000.0].map(|s| age_level(Duration::from_secs_f32(s)));
        assert_eq!(levels, [11, 10, 9, 6, 1]);
    }
}
