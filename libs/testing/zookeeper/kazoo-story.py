"""What kazoo makes of a ZooKeeper, told line by line as JSON, so that two servers can be compared.

python3 kazoo-story.py HOST:PORT
"""
import json
import logging
import socket
import sys
import threading

from kazoo import exceptions
from kazoo.client import KazooClient, KazooState
from kazoo.protocol.states import WatchedEvent
from kazoo.security import make_digest_acl

logging.disable(logging.CRITICAL)
HOSTS = sys.argv[1]
WAIT_S = 20


def tell(what, result):
    print(json.dumps([what, result]), flush=True)


def connect(**options):
    client = KazooClient(hosts=HOSTS, timeout=5.0, **options)
    client.start(timeout=WAIT_S)
    return client


def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except exceptions.KazooException as error:
        return type(error).__name__
    return "done"


def counts(stat):
    return [stat.version, stat.cversion, stat.aversion, stat.numChildren, stat.dataLength]


class Heard:
    """Values that come from another thread, waited for."""

    def __init__(self):
        self.values = []
        self.changed = threading.Condition()

    def __call__(self, value):
        with self.changed:
            self.values.append(value)
            self.changed.notify_all()

    def until(self, holds):
        with self.changed:
            if not self.changed.wait_for(lambda: holds(self.values), WAIT_S):
                raise TimeoutError(repr(self.values))
            return list(self.values)


def nodes(zk):
    tell("create", zk.create("/nodes", b"data"))
    tell("create with stat", [zk.create("/nodes/two", b"ab", include_data=True)[0],
                              counts(zk.create("/nodes/three", b"abc", include_data=True)[1])])
    tell("sequential", [zk.create("/nodes/s-", sequence=True) for _ in range(3)])
    tell("ephemeral sequential", zk.create("/nodes/e-", ephemeral=True, sequence=True))
    tell("makepath", zk.create("/nodes/a/b/c", makepath=True))
    data, stat = zk.get("/nodes")
    tell("get", [data.decode(), counts(stat), stat.created == stat.last_modified])
    tell("set", counts(zk.set("/nodes", b"other", version=0)))
    tell("set at another version", refused(zk.set, "/nodes", b"x", version=7))
    tell("children", sorted(zk.get_children("/nodes")))
    children, stat = zk.get_children("/nodes", include_data=True)
    tell("children with stat", [sorted(children), counts(stat)])
    tell("exists", [zk.exists("/nodes/nowhere") is None, counts(zk.exists("/nodes"))])
    tell("errors", [refused(zk.create, "/nodes"), refused(zk.get, "/nowhere"), refused(zk.delete, "/nodes"),
                    refused(zk.create, "/nodes/e-0000000006/child"), refused(zk.delete, "/zookeeper")])
    tell("sync", zk.sync("/nodes"))
    zk.delete("/nodes", recursive=True)
    tell("deleted", zk.exists("/nodes") is None)


def watches(zk, other):
    once, data, children = Heard(), Heard(), Heard()
    tell_event = lambda event: once([event.type, event.path])
    zk.create("/watched", b"0")
    zk.get("/watched", watch=tell_event)
    zk.exists("/watched/child", watch=tell_event)
    zk.get_children("/watched", watch=tell_event)
    other.create("/watched/child", b"")
    other.set("/watched", b"1")
    other.set("/watched", b"2")
    tell("one-shot events", once.until(lambda seen: len(seen) == 3))

    zk.DataWatch("/watched/data", lambda value, stat: data(None if value is None else value.decode()))
    zk.ChildrenWatch("/watched", lambda names: children(sorted(names)))
    data.until(lambda seen: seen == [None])
    other.create("/watched/data", b"first")
    data.until(lambda seen: seen[-1] == "first")
    other.set("/watched/data", b"second")
    data.until(lambda seen: seen[-1] == "second")
    other.delete("/watched/data")
    tell("DataWatch", data.until(lambda seen: len(seen) > 3 and seen[-1] is None))
    tell("ChildrenWatch", children.until(lambda seen: seen[-1] == ["child"])[-1])
    zk.delete("/watched", recursive=True)


def transactions(zk):
    done = zk.transaction()
    done.create("/tx", b"0")
    done.create("/tx/child-", b"", sequence=True)
    done.check("/tx", 0)
    done.set_data("/tx", b"1", version=0)
    path, child, check, stat = done.commit()
    tell("transaction", [path, child, check, counts(stat)])
    failing = zk.transaction()
    failing.set_data("/tx", b"2")
    failing.check("/tx", 99)
    failing.delete("/tx/child-0000000000")
    tell("refused transaction", [type(each).__name__ for each in failing.commit()])
    tell("nothing of it stands", [zk.get("/tx")[0].decode(), zk.get_children("/tx")])
    zk.delete("/tx", recursive=True)


def access(zk):
    acl = make_digest_acl("user", "password", all=True)
    owner = connect(auth_data=[("digest", "user:password")])
    owner.create("/private", acl=[acl])
    owner.create("/private/node", b"secret", acl=[acl])
    tell("a stranger", [refused(zk.get, "/private"), refused(zk.set, "/private", b""),
                        refused(zk.create, "/private/child"), refused(zk.delete, "/private/node")])
    acls, stat = owner.get_acls("/private")
    tell("its owner", [owner.get("/private/node")[0].decode(), [[each.perms, each.id.id] for each in acls], counts(stat)])
    late = connect()
    late.add_auth("digest", "user:password")
    tell("add_auth", late.get("/private/node")[0].decode())
    late.delete("/private", recursive=True)
    late.stop()
    owner.stop()


def recipes(zk, other):
    first, second = zk.Lock("/lock", "first"), other.Lock("/lock", "second")
    order = Heard()
    first.acquire()
    waiting = threading.Thread(target=lambda: (second.acquire(), order("second has it"), second.release()))
    waiting.start()
    while len(zk.Lock("/lock").contenders()) < 2:
        pass
    tell("contenders", zk.Lock("/lock").contenders())
    order("first lets go")
    first.release()
    waiting.join(WAIT_S)
    tell("Lock", order.values)

    led = Heard()
    election = other.Election("/election", "candidate")
    thread = threading.Thread(target=lambda: election.run(lambda: led("leads")))
    thread.start()
    thread.join(WAIT_S)
    tell("Election", led.values)

    counter = zk.Counter("/counter")
    counter += 2
    counter -= 1
    tell("Counter", other.Counter("/counter").value)
    queue = zk.Queue("/queue")
    for item in (b"a", b"b"):
        queue.put(item)
    tell("Queue", [other.Queue("/queue").get().decode() for _ in range(2)])


def sessions(zk, other):
    states = Heard()
    zk.add_listener(lambda state: states(str(state)))
    session, _ = zk.client_id
    zk.create("/mine", ephemeral=True)
    zk._connection._socket.shutdown(socket.SHUT_RDWR)
    states.until(lambda seen: seen[-1:] == [KazooState.CONNECTED])
    tell("a cut connection", [states.values, zk.client_id[0] == session, other.exists("/mine").owner_session_id == session])

    gone = Heard()
    other.exists("/mine", watch=lambda event: gone(event.type))
    thief = connect(client_id=zk.client_id)
    tell("a session taken over", thief.client_id[0] == session)
    thief.stop()
    tell("its ephemerals at its end", gone.until(lambda seen: len(seen) == 1))
    states.until(lambda seen: KazooState.LOST in seen and seen[-1] == KazooState.CONNECTED)
    tell("a lost session", [zk.client_id[0] != session, other.exists("/mine") is None])


one, two = connect(), connect()
nodes(one)
watches(one, two)
transactions(one)
access(one)
recipes(one, two)
sessions(one, two)
two.stop()
one.stop()
tell("stopped", True)
