//! Several Windlass hosts on one machine do not know of each other.

use windlass_test_support::TestHost;

use crate::shop::{HOST, PROJECT, Shop, assert_unharmed};

#[test]
fn two_hosts_with_equal_project_names_do_not_touch_each_other() {
    let mut one = Shop::open_on(TestHost::start());
    let mut other = Shop::open_on(TestHost::start());
    assert_ne!(one.host.id(), other.host.id());
    one.deploy_next();
    assert_eq!(other.host.get(HOST, "/").text(), "v1", "the other host's version");
    let instances = other.instances();
    let load = other.load();
    load.wait_more(200);

    // The first one comes to all its ends: its control plane is killed, and it is torn down, which
    // its own leak check follows.
    one.host.kill9_serve();
    one.host.restart();
    one.deploy_next();
    one.host.finish();

    load.wait_more(300);
    assert_unharmed(&load.stop(), &["v1"]);
    assert_eq!(other.instances(), instances, "nothing was started anew");
    other.deploy_next();
    assert_eq!(other.host.show(PROJECT, 2).deployment.number, 2, "numbers are counted apart");
    other.host.finish();
}
