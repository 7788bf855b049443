//! Where the hash seed comes from, when nobody says it.

use std::{fs, path::Path};

use maglev_core::{
    cilium::{Node, recognises},
    seed::HashSeed,
};

/// Where the agent's container has its configuration, in the container's `/tmp`.
const CONFIGURED: &str = "cilium/config-map/bpf-lb-maglev-hash-seed";

/// Where the kubelet of the node has the pods, and a pod's volume for `/tmp` in it.
const PODS: &str = "var/lib/kubelet/pods";
const VOLUME: &str = "volumes/kubernetes.io~empty-dir/tmp";

/// The seed, and how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownSeed {
    pub(crate) seed: HashSeed,
    pub(crate) source: &'static str,
}

/// The seed that was given; else the node's; else the default, where a table tells that it is that.
pub(crate) fn find(given: Option<HashSeed>, run_dir: &Path, node: &Node) -> Option<KnownSeed> {
    find_below(Path::new("/"), given, run_dir, node)
}

fn find_below(root: &Path, given: Option<HashSeed>, run_dir: &Path, node: &Node) -> Option<KnownSeed> {
    let default = HashSeed::default();
    let known = |seed, source| Some(KnownSeed { seed, source });
    if let Some(seed) = given {
        return known(seed, "given with --seed");
    }
    if let Some(seed) = configured(root) {
        return known(seed, "from the agent's configuration");
    }
    // The header has two of the seed's three words: enough to tell whether it is the default.
    match header_word(run_dir) {
        Some(word) if word == default.jhash_v4() => return known(default, "the default, says node_config.h"),
        Some(_) => return None,
        None => {}
    }
    let recognised = node.frontends.iter().any(|frontend| recognises(frontend, &default));
    if recognised { known(default, "the default, as the tables tell") } else { None }
}

/// What the agent's configuration says: in its container, or on the node, where of several pods the latest counts.
fn configured(root: &Path) -> Option<HashSeed> {
    let seed = |path: &Path| fs::read_to_string(path).ok()?.trim().parse().ok();
    let pods = fs::read_dir(root.join(PODS)).into_iter().flatten().flatten();
    let mut files: Vec<_> = pods
        .map(|pod| pod.path().join(VOLUME).join(CONFIGURED))
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    files.sort();
    seed(&root.join("tmp").join(CONFIGURED))
        .or_else(|| files.into_iter().rev().find_map(|(_, path)| seed(&path)))
}

fn header_word(run_dir: &Path) -> Option<u32> {
    let text = fs::read_to_string(run_dir.join("state/globals/node_config.h")).ok()?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("#define HASH_INIT4_SEED"))?;
    let word = line.trim();
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::PathBuf,
        time::{Duration, SystemTime},
    };

    use super::*;

    const OWN: &str = "cUnyPf8gC7rYyRUy";
    const OTHER: &str = "ZUnyPf8gC7rYyRUy";

    /// A root folder of the test's own; files go into it.
    fn root(name: &str, files: &[(&str, &str, u64)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("maglev-seed-{}-{name}", std::process::id()));
        for (path, text, age) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let written = SystemTime::now() - Duration::from_secs(*age);
            fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        }
        root
    }

    fn found(root: &Path, given: Option<&str>) -> Option<(String, &'static str)> {
        let given = given.map(|seed| seed.parse().unwrap());
        let known = find_below(root, given, &root.join("run"), &Node::default());
        known.map(|known| (known.seed.to_string(), known.source))
    }

    #[test]
    fn what_is_given_comes_before_the_agents_configuration_and_that_before_its_header() {
        let header = "run/state/globals/node_config.h";
        let map = format!("tmp/{CONFIGURED}");
        let root = root(
            "order",
            &[(&map, "cUnyPf8gC7rYyRUy\n", 0), (header, "#define HASH_INIT4_SEED 1910299206\n", 0)],
        );
        assert_eq!(found(&root, Some(OTHER)).unwrap(), (OTHER.to_owned(), "given with --seed"));
        assert_eq!(found(&root, None).unwrap(), (OWN.to_owned(), "from the agent's configuration"));
        fs::write(root.join(&map), "no seed").unwrap();
        let (seed, source) = found(&root, None).unwrap();
        assert_eq!((seed.as_str(), source), ("JLfvgnHc2kaSUFaI", "the default, says node_config.h"));
        fs::write(root.join(header), "#define HASH_INIT4_SEED 0x71dcda47\n").unwrap();
        assert_eq!(found(&root, None), None, "another seed, of which two words are known");
        fs::remove_dir_all(root).unwrap();
        assert_eq!(found(Path::new("/nonexistent"), None), None);
    }

    #[test]
    fn on_the_node_the_configuration_lies_in_the_latest_pods_volume() {
        let file = |pod: &str| format!("{PODS}/{pod}/{VOLUME}/{CONFIGURED}");
        let root = root(
            "pods",
            &[(&file("b-old"), OTHER, 600), (&file("a-new"), OWN, 1), ("var/lib/kubelet/pods/c/x", "", 0)],
        );
        assert_eq!(found(&root, None).unwrap(), (OWN.to_owned(), "from the agent's configuration"));
        fs::remove_dir_all(root).unwrap();
    }
}
