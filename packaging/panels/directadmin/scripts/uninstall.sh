#!/bin/sh
# DirectAdmin requires this script; the plugin has nothing to uninstall.
exit 0
