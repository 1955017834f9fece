# SPDX-License-Identifier: Apache-2.0
"""Conformance tests for Sodalite kernel plugins."""
