#!/bin/bash
# The first process of the test machine. It mounts what a Linux needs, and gives the edu and NVMe devices to vfio-pci.
# Then it runs the command that boot.js left in /run/out, leaves its exit status there and powers off. The kernel's
# command line sets
# IOMMUFD_PROJECT and IOMMUFD_BUILD.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run/tmp NO_COLOR=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run # not /tmp: the project may be there
mount -t debugfs debug /sys/kernel/debug
mkdir /run/out /run/tmp /run/crashes
# Reports say which machine they are of.
echo node1 >/proc/sys/kernel/hostname
# The loopback interface up (SIOCSIFFLAGS), for servers; there may be no ip command.
perl -e 'use Socket; socket(my $s, AF_INET, SOCK_DGRAM, 0); my $up = pack("a16s x22", "lo", 1);
  ioctl($s, 0x8914, $up) or warn "lo: $!\n"'
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 out /run/out
if [ -n "${IOMMUFD_BUILD:-}" ]; then
  # The root is not that of the machine which boots this one: the project comes beside it, and what was built for this
  # processor takes the place of what was built for that one.
  mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose project "$IOMMUFD_PROJECT"
  mount --bind "$IOMMUFD_PROJECT$IOMMUFD_BUILD" "${IOMMUFD_PROJECT}build"
fi

# The pulse of each processor, which boot.js watches. Reading from a pipe without a writer is a sleep without a process.
mkfifo /run/nothing
for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
  cpu=${cpu##*cpu}
  taskset -c "$cpu" bash -c 'while echo >"/run/out/pulse-$0"; do read -rt 5 <>/run/nothing; done' "$cpu" &
done

for device in /sys/bus/pci/devices/*; do
  # QEMU's edu: a device with a DMA engine, and nothing that this machine needs. An NVMe controller, which the kernel's own
  # driver has by now.
  case "$(cat "$device/vendor"):$(cat "$device/device") $(cat "$device/class")" in
    0x1234:0x11e8* | *0x010802)
      echo vfio-pci >"$device/driver_override"
      if [ -e "$device/driver" ]; then basename "$device" >"$device/driver/unbind"; fi
      basename "$device" >/sys/bus/pci/drivers_probe
      ;;
  esac
done

# A program that crashes leaves a backtrace of all its threads: test/kernel/backtrace.cc. A test that crashes on purpose
# does so with
# `ulimit -c 0`, which turns the backtrace off.
ulimit -c unlimited
# Through a pipe, so that no program takes the serial console for a terminal.
LD_PRELOAD=${IOMMUFD_PROJECT}build/test/backtrace.so bash /run/out/command 2>&1 | cat
status=${PIPESTATUS[0]}
for crash in /run/crashes/*; do
  [ -e "$crash" ] || continue
  printf '\n== process %s crashed:\n' "$(basename "$crash")"
  cat "$crash"
  # A crash is a failure, whoever saw it.
  [ "$status" -ne 0 ] || status=1
done
# For a program without such a backtrace, the kernel logs the file, and the address in it.
if [ "$status" -ne 0 ]; then dmesg | grep -E "segfault|general protection|traps:" | tail -n 5; fi
echo "$status" >/run/out/status
sync

# reboot(LINUX_REBOOT_CMD_POWER_OFF); perl is in every Debian, and there may be no init to ask.
reboot=169
[ "$(uname -m)" = x86_64 ] || reboot=142
perl -e 'syscall(0 + shift, 0xfee1dead, 672274793, 0x4321fedc, 0)' "$reboot"
