"""The tests of symbackprop."""
