# Gives graphics cards to virtual machines whole. No `.j2` at the end of the name: this file is used as it is.
esxcli graphics host set --default-type=SharedPassthru
