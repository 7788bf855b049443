//! Slots that are hit more than the others: where they are hit by a few large flows, no table makes up for it.

/// A slot that has that share of its service's packets is an elephant, whatever the table's size.
const SHARE: f64 = 0.01;

/// In a small table a slot has a fair share that is not far from it: an elephant has that many of them.
const FAIR_SHARES: f64 = 10.0;

/// A slot, and what it gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HotSlot {
    /// The slot.
    pub slot: u32,
    /// Hits a second.
    pub rate: f64,
    /// Its share of the packets of all slots, 0 to 1.
    pub share: f64,
    /// Its share of the packets of all slots of its owner, 0 to 1.
    pub share_of_owner: f64,
    /// Whether its share is an elephant's.
    pub is_elephant: bool,
}

/// The share of a service's packets from which on a slot of a table of that size is an elephant: a hundredth, or ten
/// times the fair share where that is more.
#[must_use]
pub fn elephant_share(slots: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a table has far fewer than 2^52 slots")]
    let slots = slots as f64;
    if slots > 0.0 { SHARE.max(FAIR_SHARES / slots) } else { 1.0 }
}

/// The `most` slots that are hit most, the hottest first; of those hit alike the first. Slots that are not hit are none.
///
/// `owners` are whatever names the owner of each slot, `rates` its hits a second.
#[must_use]
pub fn hottest<Owner: PartialEq>(owners: &[Owner], rates: &[f32], most: usize) -> Vec<HotSlot> {
    let mut hit: Vec<(u32, f32)> = (0..).zip(rates.iter().copied()).filter(|(_, rate)| *rate > 0.0).collect();
    let order = |one: &(u32, f32), other: &(u32, f32)| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0));
    if hit.len() > most && most > 0 {
        // A table has many more slots than anybody looks at.
        hit.select_nth_unstable_by(most - 1, order);
    }
    hit.truncate(most);
    hit.sort_unstable_by(order);
    let total: f64 = rates.iter().map(|rate| f64::from(*rate)).sum();
    let limit = elephant_share(rates.len());
    // Owners are few: each one's sum is made once.
    let mut sums: Vec<(&Owner, f64)> = Vec::new();
    let mut of_owner = |owner| {
        if let Some((_, sum)) = sums.iter().find(|(other, _)| *other == owner) {
            return *sum;
        }
        let own = owners.iter().zip(rates).filter(|(other, _)| *other == owner);
        let sum = own.map(|(_, rate)| f64::from(*rate)).sum();
        sums.push((owner, sum));
        sum
    };
    hit.into_iter()
        .filter_map(|(slot, rate)| {
            let (rate, owner) = (f64::from(rate), owners.get(slot as usize)?);
            let share = rate / total;
            let share_of_owner = rate / of_owner(owner);
            Some(HotSlot { slot, rate, share, share_of_owner, is_elephant: share >= limit })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_come_first_with_their_shares() {
        let owners = [b'a', b'b', b'a', b'b', b'a'];
        let rates = [2.0, 3.0, 10.0, 0.0, 5.0];
        let slots =
            |most| -> Vec<u32> { hottest(&owners, &rates, most).iter().map(|hot| hot.slot).collect() };
        assert_eq!(slots(9), [2, 4, 1, 0], "a slot that is not hit is none");
        assert_eq!(slots(2), [2, 4]);
        assert_eq!(slots(0), [0; 0]);
        let first = hottest(&owners, &rates, 1)[0];
        assert_eq!((first.share, first.share_of_owner), (0.5, 10.0 / 17.0));
        assert_eq!(hottest(&owners, &[1.0; 5], 3).iter().map(|hot| hot.slot).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(hottest(&owners, &[], 3), []);
    }

    #[test]
    fn an_elephant_has_a_hundredth_or_ten_fair_shares() {
        let parts = [16_381, 251].map(|slots| format!("{:.4}", elephant_share(slots)));
        assert_eq!(parts, ["0.0100", "0.0398"]);
        let mut rates = vec![1.0; 2000];
        (rates[7], rates[8]) = (30.0, 15.0);
        let marked: Vec<bool> = hottest(&[0; 2000], &rates, 3).iter().map(|hot| hot.is_elephant).collect();
        assert_eq!(marked, [true, false, false]);
    }
}
