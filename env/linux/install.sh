#!/bin/sh
# Makes this machine one of a Croft farm: a user, the start script, a systemd unit, settings and the key. Run it as root; it asks for the key
# that `croft key create` printed, or reads it from stdin. Running it again changes the settings. docs/operating/machines.md
set -eu
umask 077

usage() {
  echo 'use: install.sh --farm https://FARM[:PORT] --host-type TYPE [--ca FILE] [--root DIR, for trying it out: nothing is started]' >&2
  exit 2
}

say() { echo "croft: $*" >&2; }
fail() { say "$*"; exit 1; }

farm='' type='' ca='' root=''
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
    --farm) farm=${2%/} ;;
    --host-type) type=$2 ;;
    --ca) ca=$2 ;;
    --root) root=${2%/} ;;
    *) usage ;;
  esac
  shift 2
done
[ -n "$farm" ] && [ -n "$type" ] || usage
case $farm$type in *[!A-Za-z0-9.:/_\[\]-]*) fail 'the farm or the host type has characters that none has' ;; esac
[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || fail 'run this as root'

etc=$root/etc/croft-buildlet lib=$root/usr/local/lib/croft-buildlet state=$root/var/lib/croft-buildlet unit=$root/etc/systemd/system
mkdir -p "$etc" "$lib" "$state" "$unit"
chmod 755 "$etc" "$lib"
if [ -n "$ca" ]; then
  cp "$ca" "$etc/ca.pem"
  chmod 644 "$etc/ca.pem"
fi
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT

fetch() {
  if command -v curl >/dev/null 2>&1; then curl --fail --silent --show-error --max-time 60 ${ca:+--cacert "$ca"} --output "$new/$1" "$farm/dist/$1"
  elif wget --version 2>/dev/null | grep -q '^GNU Wget'; then wget -q --max-redirect=0 ${ca:+--ca-certificate="$ca"} -O "$new/$1" "$farm/dist/$1"
  else fail 'install curl or GNU wget'
  fi || fail "$1 could not be had from $farm"
}

fetch SHA256SUMS
for name in start.sh croft-buildlet.service; do
  fetch "$name"
  wanted=$(awk -v name="$name" '$2 == name { print $1 }' "$new/SHA256SUMS")
  [ -n "$wanted" ] && [ "$(sha256sum <"$new/$name" | cut -d ' ' -f 1)" = "$wanted" ] || fail "$name came changed"
done

if [ -t 0 ]; then printf 'key of this machine (croft key create --host-type %s): ' "$type" >&2; fi
IFS= read -r key || :
[ -n "$key" ] || [ -f "$etc/key" ] || fail 'no key was given'
[ -z "$key" ] || printf '%s\n' "$key" >"$etc/key"
{
  echo "FARM=$farm"
  echo "HOST_TYPE=$type"
  echo "OPTIONS=${ca:+--ca /etc/croft-buildlet/ca.pem}"
} >"$etc/settings"
install -m 755 "$new/start.sh" "$lib/start.sh"
install -m 644 "$new/croft-buildlet.service" "$unit/croft-buildlet.service"
if [ -n "$root" ]; then exit 0; fi

id croft-buildlet >/dev/null 2>&1 || useradd --system --home-dir /var/lib/croft-buildlet --shell /usr/sbin/nologin croft-buildlet
chown -R croft-buildlet: "$state"
chmod 700 "$state"
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl enable --now croft-buildlet
  say 'the machine joins the farm; see: journalctl -u croft-buildlet -f'
else
  say "systemd does not run here. Start it yourself, as the user croft-buildlet, with the key opened by root: sh $lib/start.sh --farm $farm --host-type $type --key-file fd:0 ${ca:+--ca /etc/croft-buildlet/ca.pem} <$etc/key"
fi
