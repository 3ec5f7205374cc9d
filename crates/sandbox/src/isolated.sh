# Process 1 of a program's namespaces; `start.sh` follows. Standard input is a socket: it brings
# the program's text and takes back one line for each step. What this shell may do, the program
# may not: it is started without capabilities, in another root directory and without the socket.
#
# Arguments: a directory to build the new root on, bytes and number of files of the program's
# directory, the program's file name, paths to be readable, `--`, the command.
exec 3>&0 </dev/null
umask 077
root=$1 bytes=$2 files=$3 name=$4
shift 4

refused() {
    echo "refused $1" >&3
    exit 1
}

mount -t tmpfs -o size=1m,mode=0755,nosuid,nodev sandbox "$root" || refused 'a root of its own'
mkdir -m 0755 "$root/work" "$root/dev" || refused 'a root of its own'
ln -s work "$root/tmp"

# Two more files than the program may have: the directory itself and the program.
mount -t tmpfs -o "size=$bytes,nr_inodes=$((files + 2)),mode=0700,nosuid,nodev" work "$root/work" ||
    refused 'an empty directory of bounded size'
cat <&3 >"$root/work/$name" || refused 'room for the program'

while [ "$1" != -- ]; do
    if [ -L "$1" ]; then
        ln -s "$(readlink "$1")" "$root$1" || refused "a link like $1"
    elif [ -d "$1" ]; then
        (umask 022 && mkdir -p "$root$1") && mount --rbind -o ro "$1" "$root$1" ||
            refused "$1, read-only"
    elif [ -e "$1" ]; then
        (umask 022 && mkdir -p "$root${1%/*}" && : >"$root$1") && mount --bind -o ro "$1" "$root$1" ||
            refused "$1, read-only"
    fi
    shift
done
shift
for device in null zero full random urandom; do
    : >"$root/dev/$device" && mount --bind "/dev/$device" "$root/dev/$device" || refused "/dev/$device"
done

# `rbind,ro` makes only the topmost mount read-only.
while read -r _ _ _ _ point options _; do
    case $point in
    "$root" | "$root/work" | "$root/dev/"*) ;;
    "$root/"*)
        case $options in
        rw*)
            mount -o "remount,bind,ro${options#rw}" "$(printf '%b' "$point")" ||
                refused "$point, read-only"
            ;;
        esac
        ;;
    esac
done </proc/self/mountinfo
mount -o remount,bind,ro,nosuid,nodev "$root" || refused 'a read-only root'

# The kernel already refuses namespaces to a process whose root is not its file systems' root;
# and where it must end something for want of memory, it should be this.
{
    echo 0 >/proc/sys/user/max_user_namespaces
    echo 1000 >/proc/self/oom_score_adj
} 2>/dev/null
