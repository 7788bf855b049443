//! Which weights count.

use super::Rule;
use crate::service::Service;

/// Says whether the fill heeds the weights of the backends that get slots.
pub(super) fn check_weights(service: &Service) -> Result<(), Rule> {
    let weights = || service.active_backends().map(|backend| u64::from(backend.weight));
    let (sum, count) = (weights().sum::<u64>(), weights().count() as u64);
    let equal = weights().min() == weights().max();
    // A weight of 0 has its own error.
    if equal || sum / count >= 2 || weights().any(|weight| weight == 0) {
        return Ok(());
    }
    Err(Rule::WeightsIgnored { sum, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::service;

    fn check(weights: &[u16]) -> Result<(), Rule> {
        let mut service = service();
        let backend = service.backends[0].clone();
        service.backends =
            weights.iter().map(|&weight| crate::service::Backend { weight, ..backend.clone() }).collect();
        check_weights(&service)
    }

    #[test]
    fn unequal_weights_have_a_mean_of_two_at_least() {
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[1]), Ok(()));
        assert_eq!(check(&[1, 1, 1]), Ok(()));
        assert_eq!(check(&[1, 3]), Ok(()));
        assert_eq!(check(&[1, 2]), Err(Rule::WeightsIgnored { sum: 3, count: 2 }));
        assert_eq!(check(&[1, 1, 3]), Err(Rule::WeightsIgnored { sum: 5, count: 3 }));
        assert_eq!(check(&[2, 2, 6]), Ok(()));
    }
}
