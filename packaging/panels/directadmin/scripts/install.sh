#!/bin/sh
# DirectAdmin requires this script; the plugin has nothing to install.
exit 0
