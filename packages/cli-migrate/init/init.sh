#!/migrate/busybox sh
# shellcheck shell=dash
# PID 1 of stage 2: loads the drivers, takes the payload to RAM and runs stage 2 from there.
#
# Before the point of no return every failure ends in a reboot, which starts the old system: its boot entry for stage 2 was a
# one-shot. After it there is no old system any more, so stage 2 is started again, and at last the machine waits for help.
#
# Runs under busybox ash with busybox's applets only. PID 1 must not end: that would be a kernel panic.
set -u

top=/migrate
old=$top/old
payload=$top/payload
state=/run/migrate
# Stage 2 creates this file before the first byte is written to the target disk.
point=$state/point-of-no-return
resume_limit=3
# How often the lifeboat may start without the new system coming to be.
board_limit=3
# Counts them: a sector of the lifeboat that FAT leaves free.
board_sector=12
search_seconds=60
# How long a console may stay silent before the machine restarts without a rescue shell.
rescue_seconds=300
# What stage 2 and the kernel take while the payload's own files are in RAM: Node's heap, stacks and page tables.
work_kib=65536
# Where the C library of the programs that make file systems finds its iconv tables; empty where there are none.
gconv=''
# Where on its disk the lifeboat begins that this was started from, in bytes.
lifeboat_start=''
# Set where a start from the lifeboat cannot be told from the first one.
uncounted=''
# Set where the old boot path has started stage 2 again: it had begun to make a lifeboat over files of the old system.
again=''

# boot.conf, written by stage 1, replaces these.
PAYLOAD_UUID='' PAYLOAD_FILE_SYSTEM='' PAYLOAD_PATH='' TIMEOUT_SECONDS=600 PLAN_ID='' FAIL_MODE=reboot LIFEBOAT_UUID=''
# Three words for each watchdog: its name as watchdog_name gives it, "feed" or "stop", and the longest time between two feedings in seconds.
WATCHDOGS=''
# Only where the boot entry is no one-shot:
RESTORE_UUID='' RESTORE_FILE_SYSTEM='' RESTORE_PATH='' RESTORE_SECTOR=0

# Stage 2 takes what is said here into its log.
say() {
  echo "migrate: $*"
  [ ! -d "$state" ] || echo "$*" >>"$state/init.log"
}

# A disk that does not answer can hold up umount and sync for ever; the machine must come back all the same.
flush() {
  (
    umount "$old" 2>/dev/null
    sync
    : >"$state/flushed"
  ) &
  seconds=0
  while [ ! -e "$state/flushed" ] && [ "$seconds" -lt 30 ]; do
    sleep 1
    seconds=$((seconds + 1))
  done
}

restart() {
  say "$1; restarting"
  flush
  : >"$state/restarting"
  # Should a driver hang in its shutdown, the kernel restarts without asking the drivers.
  (
    sleep 60
    echo b >/proc/sysrq-trigger
  ) &
  reboot -n -f
  while :; do sleep 60; done
}

# With migrate.fail_mode: RescueShell. A console where nobody answers must not keep the machine from restarting.
offer_shell() {
  [ "$FAIL_MODE" = rescue-shell ] || return 0
  : >"$state/rescue"
  [ ! -e "$state/feeders" ] || xargs kill -CONT <"$state/feeders"
  say "press Enter within $rescue_seconds s for a shell; leave it with exit"
  # shellcheck disable=SC3045 # busybox has read -t
  ! read -r -t "$rescue_seconds" _ </dev/console || setsid cttyhack sh -i </dev/console >/dev/console 2>&1
  rm -f "$state/rescue"
}

give_up() {
  say "FAILED: $1"
  [ ! -e "$point" ] || restart 'stage 2 starts again'
  offer_shell
  restart 'nothing was changed, the old system starts again'
}

wait_for_help() {
  while :; do
    say "FAILED: $1; the disk is not complete, so the machine waits and does not restart"
    offer_shell
    sleep 60
  done
}

# The decision must not race with stage 2 passing the point: everything is stopped first (kill -1 spares PID 1 and the caller),
# and only then is it looked whether the point was passed.
dead_man() {
  echo -1000 >/proc/self/oom_score_adj
  sleep "$TIMEOUT_SECONDS"
  [ ! -e "$point" ] && [ ! -e "$state/rescue" ] || return 0
  kill -STOP -1
  sleep 1
  if [ -e "$point" ]; then
    kill -CONT -1
    return 0
  fi
  give_up "the point of no return was not reached within $TIMEOUT_SECONDS s"
}

# Keeps a watchdog from resetting the machine as long as the kernel lives and the point of no return was passed or may still be
# reached. Nothing is ever closed: a kernel that hangs, also while it restarts, is then reset by the hardware.
feed() {
  echo -1000 >/proc/self/oom_score_adj
  exec 9>"$1" || return
  fed=0
  while [ ! -e "$state/restarting" ] &&
    { [ -e "$point" ] || [ -e "$state/rescue" ] || [ "$fed" -lt $((TIMEOUT_SECONDS + 120)) ]; }; do
    printf . >&9
    sleep "$2"
    fed=$((fed + $2))
  done
  while :; do sleep 60; done
}

# The number of a watchdog depends on which driver came first, so it goes by what its driver calls it, where it has sysfs for that.
watchdog_name() {
  if [ -r "/sys/class/watchdog/$1/identity" ]; then
    tr -c 'A-Za-z0-9._\n-' _ <"/sys/class/watchdog/$1/identity" | sed 's/_*$//'
  else
    echo "$1"
  fi
}

start_watchdog() {
  watchdog=/dev/${1##*/}
  if [ "$2" = stop ]; then
    # The magic close of Documentation/watchdog/watchdog-api.rst.
    printf V >"$watchdog" && say "$watchdog is stopped"
    return
  fi
  interval=$3
  timeout=$(cat "$1/timeout" 2>/dev/null || echo 15)
  [ "$interval" -le $((timeout / 3)) ] || interval=$((timeout / 3))
  [ "$interval" -gt 0 ] || interval=1
  say "$watchdog, which resets the machine after $timeout s, is fed every $interval s"
  feed "$watchdog" "$interval" &
  echo "$!" >>"$state/feeders"
}

start_watchdogs() {
  # shellcheck disable=SC2086 # words
  set -- $WATCHDOGS
  while [ $# -ge 3 ]; do
    found=
    for entry in /sys/class/watchdog/*; do
      [ "$(watchdog_name "${entry##*/}")" = "$1" ] || continue
      found=yes
      start_watchdog "$entry" "$2" "$3"
    done
    [ -n "$found" ] || say "the watchdog $1 was not found"
    shift 3
  done
}

mount_kernel_file_systems() {
  mkdir -p /sys /dev /run
  mount -t sysfs sysfs /sys
  mount -t devtmpfs devtmpfs /dev
  mount -t tmpfs -o mode=0755,size=8m tmpfs /run
  mkdir -p "$state" "$old" "$payload"
  # Ctrl-Alt-Del then reaches PID 1, which ignores it, instead of restarting the machine in the middle of flashing.
  echo 0 >/proc/sys/kernel/ctrl-alt-del
}

# Parameters for a module from the kernel command line ("nvme_core.io_timeout=255"): the kernel itself takes only those of
# what is built in.
module_parameters() {
  for word in $command_line; do
    case $word in
      *.*) [ "$(echo "${word%%.*}" | tr - _)" != "$1" ] || printf '%s ' "${word#*.}" ;;
    esac
  done
}

load_modules() {
  command_line=$(cat /proc/cmdline)
  set -f
  while read -r name; do
    # shellcheck disable=SC2046 # one argument for each parameter
    insmod "$top/modules/$name.ko" $(module_parameters "$name") || say "the module $name was not loaded"
  done <"$top/modules/order"
  set +f
  [ ! -d /sys/firmware/efi/efivars ] || mount -t efivarfs efivarfs /sys/firmware/efi/efivars ||
    say 'the firmware variables cannot be reached'
}

# Disks may show up seconds after their driver was loaded.
find_device() {
  seconds=0
  until device=$(findfs "UUID=$1" 2>/dev/null) && [ -b "$device" ]; do
    [ "$seconds" -lt "$search_seconds" ] || return 1
    sleep 1
    seconds=$((seconds + 1))
  done
}

# One sector is written, and only where it still is what stage 1 wrote; the rest of the file is not touched.
write_back() {
  file=$1
  dd if="$file" bs=512 skip="$RESTORE_SECTOR" count=1 2>/dev/null | head -c "$(wc -c <"$top/boot-armed")" >"$state/boot-found"
  if cmp -s "$state/boot-found" "$top/boot-armed"; then
    dd if="$top/boot-original" of="$file" bs=512 seek="$RESTORE_SECTOR" conv=notrunc,fsync 2>/dev/null
  else
    say "$RESTORE_PATH was changed since stage 1 and is left alone"
  fi
}

# Where the boot entry is no one-shot, it is taken back before anything else: whatever fails then boots the old system.
restore_boot() {
  [ -n "$RESTORE_UUID" ] || return 0
  find_device "$RESTORE_UUID" || give_up "no disk holds the boot files ($RESTORE_UUID)"
  mount -t "$RESTORE_FILE_SYSTEM" -o rw,sync "$device" "$old" || give_up "$device cannot be mounted to restore $RESTORE_PATH"
  write_back "$old$RESTORE_PATH" || give_up "$RESTORE_PATH cannot be restored"
  umount "$old" || give_up "$device cannot be unmounted"
  say "$RESTORE_PATH is restored"
}

# The lifeboat's own menu says so: stage 2 was cut off, and there is no old system any more.
is_boarded() {
  grep -qw migrate.lifeboat /proc/cmdline
}

# Of files and block devices, as far as it is not dirty: what is read next comes from the disk.
drop_caches() {
  echo 1 >/proc/sys/vm/drop_caches
}

read_starts() {
  dd if="$device" bs=512 skip="$board_sector" count=1 2>/dev/null | sed -n 's/^starts \([0-9]\{1,4\}\)$/\1/p'
}

# A medium that has gone read-only, or forgets, would give the same number at every start.
count_start() {
  starts=$(read_starts)
  starts=$((${starts:-0} + 1))
  say "started from the lifeboat on $device, the $starts. time"
  printf 'starts %s\n%500s' "$starts" '' | dd of="$device" bs=512 seek="$board_sector" conv=notrunc,fsync 2>/dev/null
  drop_caches
  [ "$(read_starts)" != "$starts" ] || return 0
  uncounted=yes
  say 'the start could not be counted: should stage 2 fail, the machine waits for help'
}

# The payload came with the initramfs. A lifeboat that starts again and again must not do so for ever. Without its disk no start
# can be counted either, so that is waited for: it may only be slow.
board() {
  : >"$point"
  until find_device "$LIFEBOAT_UUID"; do
    say "FAILED: no disk holds the lifeboat ($LIFEBOAT_UUID); the machine waits for it and does not restart"
    offer_shell
  done
  lifeboat_start=$(($(cat "/sys/class/block/${device##*/}/start") * 512))
  count_start
  [ "$starts" -le "$board_limit" ] || wait_for_help "the lifeboat started $starts times"
}

# The old boot path's own menu says so, with a letter for each start.
is_started_again() {
  grep -q ' migrate\.starts=x' /proc/cmdline
}

# Files of the old system are damaged: it must neither start nor be written to, and stage 2 not start over for ever.
start_again() {
  : >"$point"
  again=yes
  starts=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^migrate\.starts=\(x*\).*$/\1/p')
  say "the lifeboat was not complete; started again, the ${#starts}. time"
  [ "${#starts}" -le "$board_limit" ] || wait_for_help "stage 2 started ${#starts} times without a lifeboat, or GRUB could not count them"
}

available_kib() {
  # MemAvailable is there since Linux 3.14. In an initramfs, "Cached" is not free.
  awk '$1 == "MemAvailable:" { found = $2 } $1 == "MemFree:" { free = $2 } END { print found ? found : free }' /proc/meminfo
}

load_payload() {
  find_device "$PAYLOAD_UUID" || give_up "no disk holds the file system $PAYLOAD_UUID; known are: $(awk 'NR > 2 { print $4 }' /proc/partitions | tr '\n' ' ')"
  say "the payload is on $device"
  # Read-only for us; a journal left dirty is replayed, as the old system would do it, but never once stage 2 writes past it.
  mount -t "$PAYLOAD_FILE_SYSTEM" -o "ro${again:+,noload}" "$device" "$old" || {
    dmesg | tail -n 5
    give_up "$device cannot be mounted as $PAYLOAD_FILE_SYSTEM"
  }
  from=$old$PAYLOAD_PATH
  for part in runtime/node app/stage2.js plan.json; do
    [ -f "$from/$part" ] || give_up "the payload is not complete: $PAYLOAD_PATH/$part is missing on $device"
  done
  grep -q "\"id\": *\"$PLAN_ID\"" "$from/plan.json" || give_up "the payload on $device belongs to another plan than $PLAN_ID"
  needed=$(du -s -k -c "$from/runtime" "$from/app" "$from/plan.json" | awk 'END { print $1 }')
  needed=$((needed + work_kib))
  available=$(available_kib)
  [ "$available" -ge "$needed" ] || give_up "too little memory: $available KiB are free, $needed KiB are needed"
  cp -R "$from/runtime" "$from/app" "$from/plan.json" "$payload" || give_up 'the payload cannot be copied to RAM'
}

# Node's OpenSSL needs getrandom(2), which came with Linux 3.17; the shim stands in for it.
lacks_getrandom() {
  release=$(uname -r)
  major=${release%%.*}
  minor=${release#*.}
  minor=${minor%%[!0-9]*}
  [ "$major" -lt 3 ] || { [ "$major" -eq 3 ] && [ "$minor" -lt 17 ]; }
}

# libuv 1.46, in the Node of the bundle for 32-bit ARM, hands file operations to a kernel thread that spins (io_uring, SQPOLL): a
# board with one processor stands still meanwhile, and a file whose close is under way keeps its file system busy.
run_stage2() {
  set -- --expose-gc --single-threaded-gc --max-semi-space-size=1 --max-old-space-size=64 "$payload/app/stage2.js" \
    --plan "$payload/plan.json" --old-root "$old" --old-root-device "$device" \
    ${lifeboat_start:+--lifeboat-start "$lifeboat_start"} ${again:+--started-again} "$@"
  set -- "$payload/runtime/node" "$@"
  if [ -f "$payload/runtime/getentropy.so" ] && lacks_getrandom; then
    set -- --preload "$payload/runtime/getentropy.so" "$@"
  fi
  env -i PATH="$PATH" HOME=/ UV_USE_IO_URING=0 ${gconv:+"GCONV_PATH=$gconv"} \
    "$payload/runtime/ld.so" --library-path "$payload/runtime/lib" "$@" </dev/null
}

# The programs that make file systems are as Debian built them: their loader and libraries must lie where they look for them.
offer_file_system_programs() {
  programs=$payload/runtime/file-systems
  [ -d "$programs" ] || return 0
  loader=$(cat "$programs/loader")
  mkdir -p "${loader%/*}" /lib
  ln -s "$payload/runtime/ld.so" "$loader"
  for library in "$payload"/runtime/lib/*.so* "$programs"/lib/*.so*; do ln -s "$library" /lib/; done
  ln -s "$top/bin" /bin
  PATH=$programs:$PATH
  gconv=$programs/gconv
}

main() {
  offer_file_system_programs
  if is_boarded; then run_stage2 --resume; else run_stage2; fi
  status=$?
  attempt=0
  while [ "$status" -ne 0 ]; do
    [ -e "$point" ] || give_up "stage 2 ended with status $status before the point of no return"
    if [ "$attempt" -ge "$resume_limit" ]; then
      [ -z "$LIFEBOAT_UUID" ] || [ -n "$uncounted" ] ||
        restart "stage 2 ended with status $status, also when started again; it starts from the disk"
      wait_for_help "stage 2 ended with status $status, also when started again${uncounted:+, and its start could not be counted}"
    fi
    attempt=$((attempt + 1))
    say "stage 2 ended with status $status; starting it again, $attempt of $resume_limit"
    sleep 2
    run_stage2 --resume
    status=$?
  done
  restart 'stage 2 is done'
}

# busybox learns from /proc where it lies itself.
"$top/busybox" mkdir -p "$top/bin" /proc
"$top/busybox" mount -t proc proc /proc
"$top/busybox" --install -s "$top/bin"
export PATH="$top/bin"
mount_kernel_file_systems
say "stage 2 init, Linux $(uname -r)"
[ -f "$top/boot.conf" ] || give_up 'the settings of stage 2 are missing'
# shellcheck source=/dev/null
. "$top/boot.conf"
dead_man &
load_modules
start_watchdogs
if is_boarded; then
  board
else
  ! is_started_again || start_again
  restore_boot
  load_payload
fi
main
