# Starts a program that is not isolated; `start.sh` follows. Standard input is a socket that takes
# back one line for each step. Arguments: the command.
exec 3>&0 </dev/null
umask 077

refused() {
    echo "refused $1" >&3
    exit 1
}
