import { mount } from 'svelte';
import Dashboard from './Dashboard.svelte';

const target = document.getElementById('page');
if (target === null) throw new Error('index.html has no element with the id "page"');
mount(Dashboard, { target });
