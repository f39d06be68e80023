#!/bin/sh
# Runs a buildlet on this machine for a Croft farm, and keeps it up to date: gets from the farm what is missing (a Node where there is none, and
# the supervisor), checks it, and hands over to the supervisor. Needs curl or wget, and sha256sum, shasum or openssl. Without the farm in
# reach it runs what it has. docs/operating/machines.md
set -eu
umask 077

usage() {
  cat >&2 <<'USAGE'
use: start.sh --farm https://FARM[:PORT] [--host-type TYPE] [--key-file FILE] [--ca FILE] [--dir DIR] [--node FILE] [-- FLAGS OF THE BUILDLET]
  --host-type TYPE  the buildlet dials the farm and joins the pool of this host type, with the key of --key-file (DIR/key)
  --ca FILE         PEM of the only authority whose certificates count
  --dir DIR         everything lies here (/var/lib/croft-buildlet)
  --node FILE       the Node to use, from 20 on; else one that was fetched, else the one in PATH, else the farm's is fetched
USAGE
  exit 2
}

say() { echo "croft: $*" >&2; }
fail() { say "$*"; exit 1; }

farm='' type='' key='' ca='' dir=/var/lib/croft-buildlet node=''
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    --farm | --host-type | --key-file | --ca | --dir | --node) [ $# -ge 2 ] || usage ;;
    *) usage ;;
  esac
  case $1 in
    --farm) farm=${2%/} ;;
    --host-type) type=$2 ;;
    --key-file) key=$2 ;;
    --ca) ca=$2 ;;
    --dir) dir=$2 ;;
    --node) node=$2 ;;
  esac
  shift 2
done
case $farm in
  https://*) ;;
  http://localhost | http://localhost:[0-9]* | http://127.0.0.1 | http://127.0.0.1:[0-9]*) ;; # nobody else can answer there
  *) say "--farm must begin with https://"; usage ;;
esac
case ${farm#*://} in *[!A-Za-z0-9.:_\[\]-]*) say "--farm names more than a host and a port"; usage ;; esac
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
fetched=$dir/.fetched.$$
trap 'rm -rf "$fetched"' EXIT
trap 'exit 143' TERM INT HUP

# fetch PATH FILE: no redirect is followed, and the certificate counts.
fetch() {
  if command -v curl >/dev/null 2>&1; then
    curl --fail --silent --show-error --connect-timeout 20 --max-time 900 ${ca:+--cacert "$ca"} --output "$2" "$farm$1"
  elif wget --version 2>/dev/null | grep -q '^GNU Wget'; then
    wget --quiet --tries=2 --timeout=20 --max-redirect=0 ${ca:+--ca-certificate="$ca"} --output-document="$2" "$farm$1"
  elif command -v wget >/dev/null 2>&1 && [ "${farm%%:*}" = http ]; then
    wget -q -T 20 -O "$2" "$farm$1"
  else
    fail 'neither curl nor GNU wget is here: install one of them (other wgets do not look at certificates)'
  fi
}

sum() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"
  elif command -v shasum >/dev/null 2>&1; then shasum -a 256 <"$1"
  else openssl dgst -sha256 -r <"$1"
  fi | cut -d ' ' -f 1
}

# whole NAME: the file is one that was checked when it came. NAME.sha256 holds its checksum and, while it is replaced, also the next one's.
whole() { [ -f "$dir/$1" ] && [ -f "$dir/$1.sha256" ] && sum "$dir/$1" | grep -qxFf "$dir/$1.sha256"; }

# get FOLDER ENTRY FILE NAME TEST: makes DIR/NAME what the farm offers as ENTRY in the SHA256SUMS of FOLDER, if that passes the TEST; else it
# leaves what is there. FILE is how it is fetched: .gz is unpacked.
get() {
  rm -rf "$fetched"
  mkdir "$fetched"
  fetch "/dist/$1/SHA256SUMS" "$fetched/sums" || return 0
  wanted=$(awk -v name="$2" '$2 == name && length($1) == 64 { print $1 }' "$fetched/sums")
  [ -n "$wanted" ] || { say "the farm has no $1/$2"; return 0; }
  if whole "$4" && grep -qxF "$wanted" "$dir/$4.sha256"; then return 0; fi
  fetch "/dist/$1/$3" "$fetched/$3" || return 0
  case $3 in *.gz) gzip -dc <"$fetched/$3" >"$fetched/$4" || return 0 ;; esac
  if [ "$(sum "$fetched/$4")" != "$wanted" ]; then
    say "$1/$3 came changed and is not used"
    return 0
  fi
  chmod 700 "$fetched/$4"
  $5 "$fetched/$4" || { say "$1/$3 does not run here and is not used"; return 0; }
  { echo "$wanted"; cat "$dir/$4.sha256" 2>/dev/null || :; } >"$fetched/both"
  mv "$fetched/both" "$dir/$4.sha256"
  mv "$fetched/$4" "$dir/$4"
  echo "$wanted" >"$fetched/one"
  mv "$fetched/one" "$dir/$4.sha256"
}

is_node() { "$1" -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' >/dev/null 2>&1; }
is_supervisor() { "$node" "$1" --version >/dev/null 2>&1; }

platform() {
  case $(uname -s) in Linux) system=linux ;; Darwin) system=darwin ;; *) system=other ;; esac
  case $(uname -m) in x86_64 | amd64) machine=x64 ;; aarch64 | arm64) machine=arm64 ;; *) machine=$(uname -m) ;; esac
  echo "$system-$machine"
}

if [ -n "$node" ]; then
  is_node "$node" || fail "$node is no Node from 20 on"
elif [ -f "$dir/node" ] || ! is_node node; then
  get node "$(platform)" "$(platform).gz" node is_node
  whole node || fail "there is no Node here, and none for $(platform) could be had from $farm: install Node 20 or newer"
  node=$dir/node
else
  node=$(command -v node)
fi
get buildlet supervise.mjs supervise.mjs supervise.mjs is_supervisor
whole supervise.mjs || fail "the supervisor could not be had from $farm, and none is here"

if [ -n "$type" ]; then
  place=${farm#*://}
  set -- -reverse-type "$type" -coordinator "$place" --key-file "${key:-$dir/key}" -workdir "$dir/work" ${ca:+--coordinator-ca "$ca"} "$@"
fi
rm -rf "$fetched"
# It does little, and shall cost the machine little.
exec "$node" --max-semi-space-size=1 --v8-pool-size=1 "$dir/supervise.mjs" --from "$farm" ${ca:+--ca "$ca"} --dir "$dir" -- "$@"
