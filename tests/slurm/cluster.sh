#!/usr/bin/env bash
# A Slurm cluster of one node, this machine, in a folder of its own: controller, node and authentication, for tests.
#   cluster.sh start DIR      starts it, and prints the configuration for SLURM_CONF
#   cluster.sh stop DIR       stops it
# Needs Debian's packages slurm-wlm and munge; touches nothing outside DIR.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
what=$1
dir=$(mkdir -p "$2" && cd "$2" && pwd)
host=$(hostname -s)
user=$(id -un)

stop() {
  for name in slurmctld slurmd munged; do
    [ -s "$dir/$name.pid" ] && kill "$(cat "$dir/$name.pid")" 2>/dev/null || true
  done
}

# A port that nobody listens at.
port() {
  local number
  for _ in $(seq 50); do
    number=$((20000 + RANDOM % 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$number") 2>/dev/null || { echo "$number"; return; }
  done
  echo "no free port" >&2
  exit 1
}

configure() {
  mkdir -p "$dir/state" "$dir/spool"
  chmod 755 "$dir"
  head -c 1024 /dev/urandom >"$dir/munge.key"
  chmod 400 "$dir/munge.key"
  cat >"$dir/slurm.conf" <<EOF
ClusterName=szar
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
SlurmctldPort=$(port)
SlurmdPort=$(port)
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=60 State=UP
EOF
}

start() {
  configure
  munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" --pid-file="$dir/munged.pid" \
    --log-file="$dir/munged.log" --seed-file="$dir/munged.seed" --num-threads=2 >/dev/null 2>&1
  export SLURM_CONF=$dir/slurm.conf
  slurmctld -c
  slurmd
  for _ in $(seq 100); do
    case $(sinfo --noheader --format=%T 2>/dev/null) in
      idle*) echo "$SLURM_CONF"; return ;;
    esac
    sleep 0.2
  done
  sinfo >&2 || true
  tail -n 5 "$dir"/*.log >&2
  stop
  exit 1
}

case $what in
  start) start ;;
  stop) stop ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
