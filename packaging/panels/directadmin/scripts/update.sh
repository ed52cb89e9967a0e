#!/bin/sh
# DirectAdmin requires this script; the plugin has nothing to update.
exit 0
