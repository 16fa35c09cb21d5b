#!/migrate/busybox sh
# shellcheck shell=dash
# usage: network MAC
# Gets an address by DHCP for the wired interface with that hardware address, so that stage 2 can send its log. udhcpc runs this
# script again with what it was given. Nothing of a migration depends on it.
#
# Runs under busybox ash with busybox's applets only.
set -u
PATH=/migrate/bin
export PATH
# A USB adapter may take seconds to show up.
search_seconds=20

configure() {
  ifconfig "$interface" "${ip:?}" netmask "${subnet:-255.255.255.0}" || exit 1
  for gateway in ${router:-}; do
    ip route replace default via "$gateway" dev "$interface" && break
  done
  mkdir -p /etc
  for server in ${dns:-}; do
    echo "nameserver $server"
  done >/etc/resolv.conf
}

find_interface() {
  for entry in /sys/class/net/*; do
    [ "$(cat "$entry/address" 2>/dev/null)" != "$1" ] || {
      echo "${entry##*/}"
      return
    }
  done
  return 1
}

bring_up() {
  seconds=0
  until interface=$(find_interface "$1"); do
    [ "$seconds" -lt "$search_seconds" ] || {
      echo "no interface has the address $1" >&2
      exit 1
    }
    sleep 1
    seconds=$((seconds + 1))
  done
  ip link set "$interface" up || exit 1
  # A link takes seconds to be negotiated, and a switch longer to let packets through.
  udhcpc -i "$interface" -s "$0" -n -q -t 8 -T 3 >/dev/null
}

case $1 in
  bound | renew) configure ;;
  deconfig | leasefail | nak) ;;
  *) bring_up "$1" ;;
esac
