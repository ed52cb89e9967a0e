<?php
// An upload by the functions of WordPress, without its database: `php -S` runs this file.

define('ABSPATH', getenv('WORDPRESS') . '/');
define('WPINC', 'wp-includes');
define('WP_CONTENT_DIR', getenv('CONTENT'));
define('WP_CONTENT_URL', 'http://localhost');
define('HASHWACHT_SOCKET', getenv('SOCKET'));
if (getenv('POLICY')) {
    define('HASHWACHT_ON_UNDETERMINED', getenv('POLICY'));
}

// What WordPress reads from its database, and from its session.
function wp_cache_get()
{
    return false;
}
function wp_cache_set()
{
    return true;
}
function current_user_can()
{
    return true;
}
function wp_get_current_user()
{
    return (object) ['user_login' => 'wanda', 'ID' => 1];
}

foreach (['plugin', 'load', 'pomo/translations', 'functions', 'formatting', 'l10n', 'kses', 'shortcodes', 'media'] as $name) {
    require_once ABSPATH . WPINC . "/$name.php";
}
$options = ['siteurl' => 'http://localhost'];
add_filter('pre_option', fn ($value, $name) => $options[$name] ?? '', 10, 2);
require_once ABSPATH . 'wp-admin/includes/file.php';
require_once getenv('PLUGIN');

$result = wp_handle_upload($_FILES['file'], ['test_form' => false]);
header('Content-Type: application/json');
echo json_encode($result);
