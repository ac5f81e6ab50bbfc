"""Kills a run from the node, now or at the one moment that matters: its push has arrived, and it has not ended yet.

The git server's repositories lie in a folder of the node. A loop there sees the new branch's file as soon as the server
has written it, before the server's answer can be back in the pod. It stops the runner and its init at once, so that the
run cannot end; lets git end its push, and the server its work after it; and then kills.
"""

from __future__ import annotations

import subprocess

from e2e.cluster import kind
from e2e.node import in_node

# Arguments: the pod's name first.
_PROCESSES = r"""
use strict; $| = 1;
my $pod = "POD_NAME=$ARGV[0]";
sub slurp { open(my $handle, '<', $_[0]) or return ''; local $/; my $text = <$handle>; return defined $text ? $text : '' }
# The pod's processes by number, with their number inside of the pod; an ended one has no environment any more.
sub processes {
  my %found;
  for my $folder (glob '/proc/[0-9]*') {
    next unless grep { $_ eq $pod } split /\0/, slurp("$folder/environ");
    my ($inside) = slurp("$folder/status") =~ /^NSpid:.*\s(\d+)$/m;
    $found{$1} = $inside if $inside and $folder =~ /(\d+)$/;
  }
  return %found;
}
sub first { my %all = @_; my ($first) = grep { $all{$_} == 1 } keys %all; return $first }
# The init and the runner, which is its child.
sub runners {
  my ($first, %all) = @_;
  my $command = slurp("/proc/$first/cmdline");
  return grep { slurp("/proc/$_/cmdline") eq $command } sort { $all{$a} <=> $all{$b} } keys %all;
}
"""

# Arguments: the pod's name, the folder with the repository's branches, a limit in seconds.
_AFTER_PUSH = (
    _PROCESSES
    + r"""
my ($refs, $until) = ($ARGV[1], time + $ARGV[2]);
sub nap { select(undef, undef, undef, $_[0]) }
my $first;
while (time < $until) {
  for (1 .. 100) {
    if (my ($ref) = glob "$refs/*") {
      $first ||= first(processes());
      my @runners = $first ? runners($first, processes()) : ();
      if (!@runners or !kill 'STOP', @runners) { print "there was nothing to kill when $ref appeared\n"; exit }
      my $others = 0;
      for (1 .. 300) { my %left = processes(); delete @left{@runners}; last unless $others = keys %left; nap(0.1) }
      kill 'KILL', $first;
      print "killed $first after $ref had appeared; other processes then: $others\n";
      exit;
    }
    nap(0.002);
  }
  $first ||= first(processes());
}
print "nothing appeared\n";
"""
)

# Arguments: the pod's name, how long the container must have been there, and how long to wait for it.
_NOW = (
    _PROCESSES
    + r"""
my ($seconds, $until) = ($ARGV[1], time + $ARGV[2]);
my $first = first(processes());
while (!$first and time < $until) { select(undef, undef, undef, 0.01); $first = first(processes()) }
select(undef, undef, undef, $seconds);
$first or die "there is no process of $pod\n";
kill 'KILL', $first or die "process $first of $pod: $!\n";
"""
)


def kill_first_process(pod: str, after: float = 0, wait: int = 0) -> None:
    """Ends everything in the pod's container at once: the kernel kills all processes of a namespace whose first one is
    gone.

    With `wait` for a container that is yet to start, so many seconds at most; and `after` so many seconds of its being
    there.
    """
    in_node("perl", "-e", _NOW, pod, str(after), str(wait))


class Killer:
    """Waits in the node from its creation on."""

    def __init__(self, owner: str, repository: str, pod: str, seconds: int = 600) -> None:
        folder = in_node("find", kind.GITEA_DATA, "-type", "d", "-path", f"*/{owner}/{repository}.git").strip()
        assert folder, f"the server has no folder for {owner}/{repository}"
        command = ["docker", "exec", kind.NODE, "perl", "-e", _AFTER_PUSH, pod, f"{folder}/refs/heads", str(seconds)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def said(self) -> str:
        return self._process.communicate(timeout=60)[0].strip()
